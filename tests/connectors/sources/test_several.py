"""Several sources, whose places come, go, move and are replaced."""

import shutil
from pathlib import Path
from typing import Any

import orjson
import pytest

from connectors.kafka.kafka_source import TopicPlace
from connectors.sources.file_options import FileOptions
from connectors.sources.image_folder import Images
from connectors.sources.post_files import PostFiles
from connectors.sources.several import Several
from connectors.sources.source import PlacedSource, Position

State = dict[str, Position | None]


def lines(path: Path, parts: int = 2) -> PostFiles:
    return PostFiles(path, FileOptions(follow=False, parts=parts, block_bytes=256, batch=4, are_posts=False))


def write(path: Path, name: str, count: int = 30) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(b'{"global_id": "%s-%d"}\n' % (name.encode(), number) for number in range(count)))
    return path


def run(state: State, *sources: PlacedSource) -> list[str]:
    """Read all there is; what was read of which part is kept in `state`, as Bytewax does."""
    several = Several(sources, dict(state))
    names = several.parts()
    assert len(names) == len(set(names))
    assert set(state) <= set(names), "Bytewax panics where a part that it knows is not there"
    read = []
    for part in names:
        reader = several.open(part, state.get(part))
        state.setdefault(part, None)
        while (unit := reader.read()) is not None:
            read += [it.value.decode() for it in unit.messages]
            state[part] = unit.resume
        assert reader.ended
        reader.close()
    return sorted(read)


def test_sources_come_and_go_and_come_back(tmp_path: Path) -> None:
    a, b, c = (write(tmp_path / f"{name}.jsonl", name) for name in "abc")
    state: State = {}
    assert len(run(state, lines(a))) == 30
    assert len(run(state, lines(b))) == 30
    assert not run(state, lines(a), lines(b))
    write(a, "a", 40)
    assert len(run(state, lines(b), lines(c), lines(a))) == 40
    b.unlink()
    assert not run(state, lines(a), lines(c))
    write(b, "b", 31)
    assert run(state, lines(b)) == ['{"global_id": "b-30"}']


@pytest.mark.parametrize("move", [shutil.copytree, shutil.move])
def test_a_folder_of_files_may_move(tmp_path: Path, move: Any) -> None:
    write(tmp_path / "one" / "a.jsonl", "a")
    write(tmp_path / "one" / "b.jsonl", "b")
    state: State = {}
    assert len(run(state, lines(tmp_path / "one"))) == 60
    move(tmp_path / "one", tmp_path / "two")
    write(tmp_path / "two" / "a.jsonl", "a", 33)
    assert len(run(state, lines(tmp_path / "two"))) == 3


def test_a_file_may_go_into_a_folder_and_out_of_it(tmp_path: Path) -> None:
    a = write(tmp_path / "dumps" / "a.jsonl", "a")
    state: State = {}
    assert len(run(state, lines(a, parts=4))) == 30
    write(tmp_path / "dumps" / "b.jsonl", "b")
    assert len(run(state, lines(tmp_path / "dumps"))) == 30
    assert not run(state, lines(a, parts=3), lines(tmp_path / "dumps"))


@pytest.mark.parametrize("count", [10, 30, 60])
def test_a_replaced_file_is_read_whole_and_the_old_one_is_known_when_it_is_back(tmp_path: Path, count: int) -> None:
    path = write(tmp_path / "posts.jsonl", "january")
    state: State = {}
    assert len(run(state, lines(path))) == 30
    path.rename(tmp_path / "kept.jsonl")
    write(path, "february", count)
    assert len(run(state, lines(path))) == count
    assert not run(state, lines(path), lines(tmp_path / "kept.jsonl"))
    shutil.copyfile(tmp_path / "kept.jsonl", path)
    assert not run(state, lines(path))


def test_a_file_that_begins_alike_and_goes_on_otherwise_is_another_one(tmp_path: Path) -> None:
    path = write(tmp_path / "posts.jsonl", "a", 300)
    state: State = {}
    run(state, lines(path))
    with path.open("r+b") as file:
        file.seek(6000)
        file.truncate()
        file.write(b"\n" + b'{"global_id": "other"}\n' * 300)
    assert sum("other" in it for it in run(state, lines(path))) == 300


def test_files_rotate(tmp_path: Path) -> None:
    now, before = tmp_path / "logs" / "posts.jsonl", tmp_path / "logs" / "posts.1.jsonl"
    state: State = {}
    write(now, "a")
    assert len(run(state, lines(now.parent))) == 30
    write(now, "a", 32)
    now.rename(before)
    write(now, "b", 20)
    assert len(run(state, lines(now.parent))) == 22
    assert not run(state, lines(now.parent))


def test_a_position_of_an_older_version_goes_on(tmp_path: Path) -> None:
    path = write(tmp_path / "one" / "posts.jsonl", "a")
    state: State = {}
    run(state, lines(path))
    old = {
        part: it and {name: value for name, value in it.items() if name not in {"head", "last"}}
        for part, it in state.items()
    }
    write(path, "a", 31)
    assert len(run(dict(old), lines(path))) == 1
    shutil.move(tmp_path / "one", tmp_path / "two")
    assert len(run(old, lines(tmp_path / "two" / "posts.jsonl"))) == 1


def test_a_folder_of_images_that_moved_keeps_its_ids(tmp_path: Path) -> None:
    folder = tmp_path / "pics"
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.png").write_bytes(b"%d" % number)
    state: State = {}
    first = run(state, Images(folder, follow=False, parts=2, batch=2))
    shutil.move(folder, tmp_path / "moved")
    (tmp_path / "moved" / "5.png").write_bytes(b"5")
    (new,) = run(state, Images(tmp_path / "moved", follow=False, parts=2, batch=2))
    known, found = (orjson.loads(line)["global_id"] for line in (first[0], new))
    assert found == known.replace("0.png", "5.png")


def test_topics_have_positions_of_their_own(tmp_path: Path) -> None:
    def places(*topics: tuple[str, str]) -> PlacedSource:
        class Topics(PostFiles):
            def places(self) -> Any:
                return [TopicPlace(None, name, cluster, [0, 1]) for name, cluster in topics]  # type: ignore[arg-type]

        return Topics(tmp_path, FileOptions(follow=False, parts=1, block_bytes=256, batch=1))

    read = {"version": 1, "offset": 9, "topic": "kafka:a", "cluster": "one"}
    assert Several([places(("a", "one"), ("b", "one"))], {"kafka:a#0": read}).parts() == [
        "kafka:a#0",
        "kafka:a#1",
        "kafka:b#0",
        "kafka:b#1",
    ]
    assert Several([places(("a", "two"))], {"kafka:a#0": read}).parts() == ["kafka:a~2#0", "kafka:a~2#1", "kafka:a#0"]
    assert Several([places(("b", "one"))], {"0": {**read}}).parts() == ["kafka:b#0", "kafka:b#1", "0"]
    of_older = {"0": {"version": 1, "offset": 9}, "1": None}
    assert Several([places(("a", "one"))], of_older).parts() == ["0", "1"]

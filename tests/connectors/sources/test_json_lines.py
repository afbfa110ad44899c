"""Files of lines, dealt to parts in blocks."""

import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connectors.sources import json_lines
from connectors.sources.file_options import FileOptions
from connectors.sources.parse import MAX_BYTES
from connectors.sources.post_files import PostFiles, files_of_posts
from connectors.sources.source import Position, Reader, Unit
from core.errors import SettingsError, WorldError

LINES = st.lists(st.integers(0, 700).map(lambda length: b"x" * length) | st.just(b" \t"), max_size=25)
BLOCKS = st.integers(256, 800)
PARTS = st.integers(1, 5)
BATCHES = st.integers(1, 6)


_opened: list[Reader] = []


@pytest.fixture(autouse=True)
def _end() -> Iterator[None]:
    yield
    _close_all()


def _close_all() -> None:
    while _opened:
        _opened.pop().close()


def numbered(lines: list[bytes]) -> list[bytes]:
    """Lines that differ; blank ones stay so."""
    return [b"%d:%b" % (number, line) if line.strip() else line for number, line in enumerate(lines)]


def source(path: Path, *, follow: bool = False, parts: int = 3, block_bytes: int = 256, batch: int = 100) -> PostFiles:
    return PostFiles(
        path, FileOptions(follow=follow, parts=parts, block_bytes=block_bytes, batch=batch, are_posts=False)
    )


def opened(of: PostFiles) -> list[Reader]:
    readers = [of.open(part, None) for part in of.parts()]
    _opened.extend(readers)
    return readers


def first_of(of: PostFiles) -> Reader:
    reader = of.open(of.parts()[0], None)
    _opened.append(reader)
    return reader


def units(reader: Reader) -> list[Unit]:
    """All that can be read."""
    with closing(reader):
        return news(reader)


def news(reader: Reader) -> list[Unit]:
    """All that can be read now."""
    return list(iter(reader.read, None))


def values(read: list[Unit]) -> list[bytes]:
    return [message.value for unit in read for message in unit.messages]


def in_turn(read: list[Unit]) -> list[bytes]:
    """What units of several parts hold, in the order of their turns; units of one turn in the order given."""
    return values(sorted(read, key=lambda unit: unit.turn or 0))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "posts.jsonl"


@settings(deadline=None)
@given(LINES, BLOCKS, PARTS, BATCHES, st.sampled_from([b"\n", b"\r\n"]), st.booleans())
@example([b"x" * 253, b"x" * 2], 256, 2, 1, b"\n", True)
def test_the_parts_read_every_line_once_and_in_turn_the_whole_file(
    lines: list[bytes], block_bytes: int, parts: int, batch: int, end: bytes, is_ended: bool
) -> None:
    lines = numbered(lines)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "posts.jsonl")
        path.write_bytes(end.join(lines) + (end if is_ended else b""))
        read = [
            unit
            for reader in opened(source(path, parts=parts, block_bytes=block_bytes, batch=batch))
            for unit in units(reader)
        ]
    assert in_turn(read) == [line for line in lines if line.strip()]
    assert all(len(unit.messages) <= batch for unit in read)


@settings(deadline=None)
@given(LINES, BLOCKS, PARTS, BATCHES)
def test_after_any_unit_a_part_goes_on_with_exactly_the_rest(
    lines: list[bytes], block_bytes: int, parts: int, batch: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "posts.jsonl")
        path.write_bytes(b"".join(line + b"\n" for line in numbered(lines)))
        file = source(path, parts=parts, block_bytes=block_bytes, batch=batch)
        for part in file.parts():
            read = units(file.open(part, None))
            for number, unit in enumerate(read):
                assert units(file.open(part, unit.resume)) == read[number + 1 :]


@settings(deadline=None)
@given(LINES, BLOCKS, PARTS, BATCHES, st.lists(st.integers(1, 900), max_size=30), st.booleans())
def test_a_file_that_grows_is_read_as_if_it_had_been_there(
    lines: list[bytes], block_bytes: int, parts: int, batch: int, steps: list[int], with_restarts: bool
) -> None:
    lines = numbered(lines)
    content = b"".join(line + b"\n" for line in lines)
    read: list[Unit] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "posts.jsonl")
        path.touch()
        file = source(path, follow=True, parts=parts, block_bytes=block_bytes, batch=batch)
        names = file.parts()
        readers = opened(file)
        last: list[Position | None] = [None] * parts
        for step in [*steps, len(content)]:
            with path.open("ab") as out:
                out.write(content[:step])
            content = content[step:]
            for number, reader in enumerate(readers):
                new = news(reader)
                read += new
                last[number] = new[-1].resume if new else last[number]
                assert not reader.ended
            if with_restarts:
                _close_all()
                readers = [file.open(part, position) for part, position in zip(names, last, strict=True)]
                _opened.extend(readers)
        _close_all()
    assert in_turn(read) == [line for line in lines if line.strip()]


def test_what_comes_between_runs_is_read_by_the_next(path: Path) -> None:
    path.write_bytes(b"".join(b"%d\n" % number for number in range(300)))
    file = source(path)
    first = {part: units(file.open(part, None)) for part in file.parts()}
    with path.open("ab") as out:
        out.write(b"".join(b"%d\n" % number for number in range(300, 600)))
    second = [
        unit
        for part in file.parts()
        for unit in units(file.open(part, first[part][-1].resume if first[part] else None))
    ]
    assert in_turn(second) == [b"%d" % number for number in range(300, 600)]


def test_a_last_line_without_an_end_is_read_where_nobody_waits(path: Path) -> None:
    path.write_bytes(b"one\ntwo")
    assert values(units(first_of(source(path)))) == [b"one", b"two"]


def test_a_last_line_waits_for_its_end_where_the_file_is_followed(path: Path) -> None:
    path.write_bytes(b"one\ntw")
    reader = first_of(source(path, follow=True))
    assert values(news(reader)) == [b"one"]
    with path.open("ab") as out:
        out.write(b"o\n")
    assert values(units(reader)) == [b"two"]


@pytest.mark.parametrize("excess", [1, 100_000])
@pytest.mark.parametrize("follow", [True, False])
def test_a_line_that_is_too_long_is_cut_and_the_next_one_is_whole(path: Path, excess: int, follow: bool) -> None:
    path.write_bytes(b"one\n" + b"x" * (MAX_BYTES + excess) + b"\ntwo\n")
    read = [line for reader in opened(source(path, follow=follow)) for line in values(units(reader))]
    assert sorted(map(len, read)) == [3, 3, MAX_BYTES + 1]
    assert read[0] == b"one"
    assert b"two" in read


def test_the_longest_line_is_whole(path: Path) -> None:
    path.write_bytes(b"x" * MAX_BYTES + b"\n")
    assert values(units(first_of(source(path)))) == [b"x" * MAX_BYTES]


def test_a_message_says_where_it_was_read(path: Path) -> None:
    path.write_bytes(b"one\n\ntwo\n")
    (unit,) = units(first_of(source(path)))
    assert [message.origin for message in unit.messages] == [f"file:{path}@0", f"file:{path}@5"]


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n \n\t\n"])
def test_a_file_without_lines_ends_at_once(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    for reader in opened(source(path)):
        assert reader.read() is None
        assert reader.ended


def test_it_ends_only_after_the_last_line(path: Path) -> None:
    path.write_bytes(b"one\n" * 500)
    for reader in opened(source(path, batch=7)):
        while not reader.ended:
            read = reader.read()
        assert read is None or len(read.messages) < 7
        assert reader.read() is None


def test_lag_is_what_lies_between_here_and_the_end(path: Path) -> None:
    path.write_bytes(b"one\ntwo\nthree\n")
    reader = first_of(source(path, batch=1))
    assert reader.lag() == 14
    reader.read()
    assert reader.lag() == 10


@pytest.mark.parametrize("changed", [{"parts": 4}, {"block_bytes": 512}])
def test_a_changed_deal_is_refused(path: Path, changed: dict[str, int]) -> None:
    path.write_bytes(b"one\n")
    position = units(first_of(source(path)))[0].resume
    name = "file_parts=3" if "parts" in changed else "file_block_bytes=256"
    with pytest.raises(SettingsError, match=name):
        source(path, **changed).open(f"{path}#0", position)  # type: ignore[arg-type]


def test_a_changed_batch_is_no_matter(path: Path) -> None:
    path.write_bytes(b"one\ntwo\nthree\n")
    unit = first_of(source(path, batch=1)).read()
    assert unit is not None
    assert values(units(source(path, batch=9).open(f"{path}#0", unit.resume))) == [b"two", b"three"]


def test_a_file_that_became_shorter_was_replaced(path: Path) -> None:
    path.write_bytes(b"one\ntwo\n")
    position = units(first_of(source(path)))[0].resume
    path.write_bytes(b"one\n")
    with pytest.raises(WorldError, match="replaced"):
        source(path).open(f"{path}#0", position)


def test_a_file_that_is_not_there_is_told_at_once(path: Path) -> None:
    with pytest.raises(WorldError, match="no such file"):
        source(path).parts()


def test_a_file_that_went_away_is_told(path: Path) -> None:
    with pytest.raises(WorldError, match="No such file"):
        source(path).open(f"{path}#0", None)


def test_the_parts_do_not_depend_on_the_way_a_file_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.touch()
    monkeypatch.chdir(path.parent)
    assert source(Path(path.name)).parts() == source(path).parts()


def test_in_a_folder_each_file_is_a_part(tmp_path: Path) -> None:
    (tmp_path / "deeper").mkdir()
    (tmp_path / "a.jsonl").write_bytes(b"one\ntwo\n")
    (tmp_path / "deeper" / "b#1.ndjson").write_bytes(b"three\n")
    (tmp_path / "notes.txt").write_bytes(b"no\n")
    assert [values(units(reader)) for reader in opened(source(tmp_path))] == [[b"one", b"two"], [b"three"]]


def test_a_folder_without_files_is_told(tmp_path: Path) -> None:
    assert not files_of_posts(tmp_path, ())
    with pytest.raises(WorldError, match=r"no \.json, \.jsonl"):
        source(tmp_path).parts()


def test_a_name_that_is_not_utf8_is_told(tmp_path: Path) -> None:
    (tmp_path / "a\udcff.jsonl").write_bytes(b"one\n")
    with pytest.raises(WorldError, match="UTF-8"):
        source(tmp_path).parts()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"PK\x03\x04 and more\n", "unpack it"),
        (b'{\n  "global_id": "1"\n}\n', r"jq -c \. FILE, or of a listing"),
    ],
)
def test_what_is_no_json_lines_is_told_with_what_to_do(content: bytes, told: str, path: Path) -> None:
    path.write_bytes(content)
    with pytest.raises(WorldError, match=told):
        source(path).parts()


def test_a_byte_order_mark_is_no_part_of_the_first_post(path: Path) -> None:
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\n{"a": 2}\n')
    assert values(units(first_of(source(path)))) == [b'{"a": 1}', b'{"a": 2}']


def test_a_last_line_that_is_half_written_is_read_when_it_is_whole(path: Path) -> None:
    path.write_bytes(b'{"a": 1}\n{"a": ')
    (unit,) = units(first_of(source(path)))
    assert values([unit]) == [b'{"a": 1}']
    with path.open("ab") as out:
        out.write(b"2}")
    assert values(units(source(path).open(f"{path}#0", unit.resume))) == [b'{"a": 2}']


def test_a_followed_file_that_is_renamed_and_replaced_is_read_to_its_end_and_left(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_lines, "_REST_SECONDS", 0.0)
    path.write_bytes(b"one\n")
    reader = first_of(source(path, follow=True))
    assert values([it for it in [reader.read()] if it]) == [b"one"]
    old = path.rename(path.with_suffix(".1"))
    assert (reader.read(), reader.ended) == (None, False), "the new file is not there yet"
    path.write_bytes(b"new\n")
    with old.open("ab") as file:
        file.write(b"two\n")
    assert values([it for it in [reader.read()] if it]) == [b"two"]
    assert (reader.read(), reader.ended) == (None, True)


@pytest.mark.parametrize("new", [b"", b"1\n", b"three\nfour\nfive\n"])
def test_a_followed_file_that_is_emptied_and_written_anew_is_left(new: bytes, path: Path) -> None:
    path.write_bytes(b"one\n")
    reader = first_of(source(path, follow=True))
    assert values([it for it in [reader.read()] if it]) == [b"one"]
    assert (reader.read(), reader.ended) == (None, False)
    with path.open("r+b") as file:
        file.truncate(0)
        file.write(new)
    assert (reader.read(), reader.ended) == (None, True)


@pytest.mark.parametrize("name", ["a.png.json", "a.json", "a.png.supplemental-metadata.json"])
def test_what_tells_of_an_image_beside_it_is_no_file_of_posts(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / name).write_bytes(b'{\n  "title": "x"\n}')
    assert not files_of_posts(tmp_path, ())
    (tmp_path / name).write_bytes(b'{"global_id": "1", "url": "a.png"}\n')
    assert files_of_posts(tmp_path, ())

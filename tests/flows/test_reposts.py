"""A picture that comes again is looked at no more, and its record says the same."""

from pathlib import Path

import numpy as np
import orjson
import pytest

from tests.flows.posts import picture_of
from tests.flows.runs import Flow, Row

PICTURES, EACH = 6, 6
_OWN = {"global_id", "post_id", "url", "cache", "timings", "joined_time", "duplicate_of", "cluster", "cluster_distance"}


def stream(folder: Path) -> Path:
    """Posts of some pictures, each under several names."""
    random = np.random.default_rng(7)
    names = []
    for number in range(PICTURES):
        data = picture_of(number, random)
        for copy in range(EACH):
            names.append(f"{number}-{copy}")
            (folder / f"{names[-1]}.png").write_bytes(data)
    random.shuffle(names)
    posts = [{"global_id": f"{name}-a", "url": f"{name}.png", "author": name[-1], "source": "a"} for name in names]
    path = folder / "posts.jsonl"
    path.write_bytes(b"".join(orjson.dumps(post) + b"\n" for post in posts))
    return path


def of_pictures(rows: dict[str, Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows.values():
        found.setdefault(row["global_id"][0], []).append(row)
    return found


def alike(row: Row) -> Row:
    """What a row says that it would say without a cache too."""
    return {name: value for name, value in row.items() if name not in _OWN}


@pytest.mark.parametrize("processes", [1, 2])
def test_each_picture_is_looked_at_once_and_records_are_the_same(folder: Path, tmp_path: Path, processes: int) -> None:
    source = stream(tmp_path)
    flow = Flow(folder / "on", source, to_store=True)
    flow.memewax(processes).end()
    rows = flow.rows()
    for those in of_pictures(rows).values():
        assert len(those) == EACH
        for stage in ("embedding", "text"):
            assert sum(row["timings"][stage] > 0 for row in those) == 1, "computed once, in one of the processes"
        assert {row["cache"] for row in those} == {None, "exact"}
        assert len({row["duplicate_of"] for row in those}) == 2, "the clusterer learned each: a first, and its copies"
    without = Flow(folder / "off", source, to_store=True, cache="off")
    without.memewax(processes).end()
    assert {row["cache"] for row in without.rows().values()} == {None}
    assert {key: alike(row) for key, row in rows.items()} == {key: alike(row) for key, row in without.rows().items()}
    if processes == 1:
        clusters = {key: (row["cluster"], row["duplicate_of"]) for key, row in rows.items()}
        assert clusters == {key: (row["cluster"], row["duplicate_of"]) for key, row in without.rows().items()}


def test_what_was_deleted_is_looked_at_anew(folder: Path, tmp_path: Path) -> None:
    source = stream(tmp_path)
    posts = source.read_bytes()
    deletes = [orjson.dumps({"author": str(copy), "source": "a", "deleted": True}) for copy in range(EACH)]
    for name, lines in (("one", posts), ("two", b"\n".join(deletes) + b"\n"), ("three", posts)):
        source.write_bytes(lines)
        flow = Flow(folder / name, source, cache_folder=folder / "cache")
        flow.memewax().end()
    assert all(None in {row["cache"] for row in those} for those in of_pictures(flow.rows()).values())


def test_it_is_known_in_the_next_run(folder: Path, tmp_path: Path) -> None:
    source = stream(tmp_path)
    for name in ("one", "two"):
        flow = Flow(folder / name, source, cache_folder=folder / "cache")
        flow.memewax().end()
        is_second = name == "two"
        assert [row["cache"] for row in flow.rows().values()].count(None) == (0 if is_second else PICTURES)

"""Deletes amid posts, `kill -9` amid them: what is deleted is gone, what is hidden is aside, and all else is there."""

import random
from pathlib import Path

import lancedb
import numpy as np
import orjson
import pytest

from connectors.sinks.record_table import HIDDEN, THUMBNAILS
from connectors.store.posts_table import TABLE
from tests.flows.posts import picture_of
from tests.flows.runs import Flow, Row

POSTS = 60
EARLY, LATE = "2026-07-04T10:00:00Z", "2026-07-04T12:00:00Z"


class World:
    """A file of posts and of what takes them back, and what is to be left."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.path = folder / "posts.jsonl"
        chance = random.Random(5)
        pictures = np.random.default_rng(5)
        self.lines: list[bytes] = []
        self.shown, self.hidden = set[str](), set[str]()
        for number in range(POSTS):
            (folder / f"{number}.png").write_bytes(picture_of(number % 6, pictures))
            self._add(self._post(number))
            self.shown.add(f"{number}-a")
            if number % 4 == 3:
                self._take_back(chance.randrange(number + 1), chance.choice(("global_id", "post_id")))
        self._add({"post_id": "late-a", "deleted": True, "time": LATE})
        self._add(self._post(0) | {"global_id": "late-a"})  # after its delete
        self._take_back(7, "global_id")
        self._add(self._post(7) | {"created_time": EARLY, "edited": "2026-07-04T13:00:00Z", "desc": "edited"})
        self.shown.add("7-a")
        self._add({"author": "author 1", "source": "a", "deleted": True, "time": LATE})
        self._add({"author": "author 2", "source": "a", "hidden": True, "time": LATE})
        self._add({"author": "author 3", "source": "a", "hidden": True, "time": EARLY})
        self._add({"author": "author 3", "source": "a", "hidden": False, "time": LATE})
        of_one = {f"{number}-a" for number in range(POSTS) if number % 10 == 1}
        of_two = {f"{number}-a" for number in range(POSTS) if number % 10 == 2}
        self.hidden = self.shown & of_two
        self.shown -= of_one | of_two
        self._add(self._post(99) | {"url": "0.png"})  # so that something comes after them
        self.shown.add("99-a")
        self.path.write_bytes(b"".join(self.lines))

    def _add(self, line: Row) -> None:
        self.lines.append(orjson.dumps(line) + b"\n")

    def _post(self, number: int) -> Row:
        return {
            "global_id": f"{number}-a", "url": f"{number}.png", "author": f"author {number % 10}", "source": "a",
            "created_time": EARLY,
        }  # fmt: skip

    def _take_back(self, number: int, by: str) -> None:
        self._add({by: f"{number}-a", "deleted": True, "time": LATE})
        self.shown.discard(f"{number}-a")


def aside(flow: Flow) -> list[str]:
    found = lancedb.connect(flow.store).open_table(HIDDEN).to_arrow().column("global_id").to_pylist()
    return sorted(found)


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_killed_amid_deletes_what_was_deleted_is_gone_and_nothing_else(
    tmp_path: Path, folder: Path, processes: int
) -> None:
    world = World(tmp_path / "world")
    flow = Flow(folder, world.path, seconds=0.005, to_store=True)

    def run_until(lines: int) -> None:
        run = flow.memewax(processes) if processes > 1 else flow.worker(0.05)
        run.until(lambda: flow.lines() >= lines or run.process.poll() is not None)
        for it in run.workers():
            it.kill()
        run.kill()

    for lines in (40, 58):
        run_until(lines)
    (flow.memewax(processes) if processes > 1 else flow.worker()).end()
    assert set(flow.stored()) == world.shown
    assert aside(flow) == sorted(world.hidden)
    assert flow.stored()["7-a"]["description"] == "edited"
    tables = [lancedb.connect(flow.store).open_table(it).to_arrow() for it in (TABLE, HIDDEN, THUMBNAILS.name)]
    shown, hidden, kept = ({*it.column("picture_sha256").to_pylist()} for it in tables)
    assert kept == shown | hidden  # no more, and no fewer

"""Deletes amid posts, `kill -9` amid them: what is deleted is gone, what is hidden is aside, and all else is there.

The long form kills many worlds, by seed: `just forgetting`.
"""

import os
import random
import time
from pathlib import Path

import lancedb
import numpy as np
import orjson
import pytest

from connectors.remnants import LookedFor
from connectors.sinks.record_table import HIDDEN, THUMBNAILS
from connectors.store.posts_table import TABLE
from connectors.store.store_maintenance import compact_store
from connectors.store.table_remnants import in_tables
from core.settings import as_variable
from operators.recovery_remnants import in_recovery, scrub
from tests.brokers import MockBroker, create_topic, read_topic
from tests.factories import image_of
from tests.flows.runs import Flow, Row, wait_for, whole_lines

POSTS = 60
EARLY, LATE = "2026-07-04T10:00:00Z", "2026-07-04T12:00:00Z"


LATE_ID = "post-that-is-late-a"
WORLDS = "FORGETTING_WORLDS"
"""Of the long form: the first world, and how many."""


def name(number: int) -> str:
    return f"post-number-{number:04d}-a"


class World:
    """A file of posts and of what takes them back, and what is to be left.

    Args:
        folder: Of the file and its images.
        seed: Which world.
        late: Share of the images that are being written for as long as `complete` does not end that: until then
            their posts are tried again and again, also after their deletes.
    """

    def __init__(self, folder: Path, seed: int = 5, late: float = 0.0) -> None:
        folder.mkdir()
        self.late: dict[Path, bytes] = {}
        self.path = folder / "posts.jsonl"
        chance = random.Random(seed)
        images = np.random.default_rng(seed)
        self.lines: list[bytes] = []
        self.shown, self.hidden = set[str](), set[str]()
        for number in range(POSTS):
            self._draw(folder / f"{number}.png", image_of(number % 6, images), is_late=late > chance.random())
            self._add(self._post(number))
            self.shown.add(name(number))
            if number % 4 == 3:
                self._take_back(chance.randrange(number + 1), chance.choice(("global_id", "post_id")))
        self._add({"post_id": LATE_ID, "deleted": True, "time": LATE})
        self._add(self._post(0) | {"global_id": LATE_ID})  # after its delete
        self._take_back(7, "global_id")
        self._add(self._post(7) | {"created_time": EARLY, "edited": "2026-07-04T13:00:00Z", "desc": "edited"})
        self.shown.add(name(7))
        self._add({"author": "author 1", "source": "a", "deleted": True, "time": LATE})
        self._add({"author": "author 2", "source": "a", "hidden": True, "time": LATE})
        self._add({"author": "author 3", "source": "a", "hidden": True, "time": EARLY})
        self._add({"author": "author 3", "source": "a", "hidden": False, "time": LATE})
        of_one = {name(number) for number in range(POSTS) if number % 10 == 1}
        of_two = {name(number) for number in range(POSTS) if number % 10 == 2}
        self.hidden = self.shown & of_two
        self.shown -= of_one | of_two
        self._add(self._post(99) | {"url": "0.png"})  # so that something comes after them
        self.shown.add(name(99))
        self.path.write_bytes(b"".join(self.lines))

    def still_writing(self) -> None:
        """Let files that are being written look so for the next minute and a half."""
        for path in self.late:
            os.utime(path, (time.time() + 50,) * 2)

    def complete(self, count: int) -> None:
        """Let so many of the images be written to their end that are being written."""
        for path in list(self.late)[:count]:
            (draft := path.with_suffix(".draft")).write_bytes(self.late.pop(path))
            draft.replace(path)

    def _draw(self, path: Path, data: bytes, *, is_late: bool) -> None:
        path.write_bytes(data[:60] if is_late else data)
        if is_late:
            self.late[path] = data

    def _add(self, line: Row) -> None:
        self.lines.append(orjson.dumps(line) + b"\n")

    def _post(self, number: int) -> Row:
        return {
            "global_id": name(number), "url": f"{number}.png", "author": f"author {number % 10}", "source": "a",
            "created_time": EARLY,
        }  # fmt: skip

    def _take_back(self, number: int, by: str) -> None:
        self._add({by: name(number), "deleted": True, "time": LATE})
        self.shown.discard(name(number))

    @property
    def gone(self) -> set[str]:
        return {LATE_ID, *map(name, range(POSTS))} - self.shown - self.hidden


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
    check(flow, world)


def check(flow: Flow, world: World) -> None:
    written = {it["global_id"] for line in whole_lines(flow.out) if "global_id" in (it := orjson.loads(line))}
    assert world.shown - written == set()  # none was lost on the way to the file, which is cut at a resume
    assert set(flow.stored()) == world.shown
    assert aside(flow) == sorted(world.hidden)
    assert flow.stored()[name(7)]["description"] == "edited"
    tables = [lancedb.connect(flow.store).open_table(it).to_arrow() for it in (TABLE, HIDDEN, THUMBNAILS.name)]
    shown, hidden, kept = ({*it.column("picture_sha256").to_pylist()} for it in tables)
    assert kept == shown | hidden  # no more, and no fewer
    compact_store(flow.store)
    scrub(flow.recovery, flow.recovery / "clusters")
    names = LookedFor(tuple(sorted(world.gone)))
    assert [*in_tables(flow.store, names), *in_recovery(flow.recovery, names)] == []
    assert list(in_tables(flow.store, LookedFor((name(99),))))  # which is there


def test_an_image_that_comes_after_its_delete_from_another_process_comes_to_no_sink(
    tmp_path: Path, folder: Path, mock_broker: MockBroker
) -> None:
    """Posts wait for their image while their deletes pass, half of them in the other process."""
    images, count = tmp_path / "images", 12
    images.mkdir()
    whole = {name(number): image_of(number % 6, np.random.default_rng(number)) for number in range(count)}
    lines = []
    for number, (global_id, data) in enumerate(whole.items()):
        (file := images / f"{number}.png").write_bytes(data[:60])
        os.utime(file, (time.time() + 50,) * 2)  # as if it was being written
        lines.append({"global_id": global_id, "url": file.name, "author": "ann", "source": "a", "desc": "x" * 300})
    lines += [{"post_id": global_id, "deleted": True, "time": LATE, "desc": "x" * 300} for global_id in whole]
    source = images / "posts.jsonl"
    source.write_bytes(b"".join(orjson.dumps(it) + b"\n" for it in lines))
    topic = create_topic(mock_broker)
    flow = Flow(folder, source, to_store=True, retry_wait_seconds=60)
    flow.settings["to"] = as_variable([str(flow.out), str(flow.store), f"kafka://{mock_broker.bootstrap}/{topic}"])
    run = flow.memewax(2)

    def deletes() -> list[Row]:
        return [it for line in flow.out.read_bytes().splitlines() if "deleted" in (it := orjson.loads(line))]

    run.until(lambda: flow.lines() >= count and len(deletes()) == count)
    for number, data in enumerate(whole.values()):
        (draft := images / "draft").write_bytes(data)
        draft.replace(images / f"{number}.png")
    run.end()
    assert run.summary["updated"], "some came after their delete, or this shows nothing"
    assert flow.stored() == {}
    seen = set[str]()
    for it in map(orjson.loads, flow.out.read_bytes().splitlines()):
        assert it.get("global_id") not in seen, f"{it['global_id']} came after its delete"
        seen |= {it["post_id"]} if "deleted" in it else set()
    assert seen == set(whole)
    last = {it.key: it.value for it in read_topic(mock_broker, topic)}
    assert [key for key, value in last.items() if value is not None] == []
    assert flow.dead_letters() == []


def worlds() -> range:
    first, count = map(int, os.environ.get(WORLDS, "0:2").split(":"))
    return range(first, first + count)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", worlds())
def test_ten_kills_of_two_processes_amid_deletes_and_retries(tmp_path: Path, seed: int) -> None:
    world, chance = World(tmp_path / "world", seed, late=0.3), random.Random(seed)
    flow = Flow(tmp_path / "flow", world.path, seconds=0.01, to_store=True, retry_wait_seconds=3)
    for _ in range(10):
        world.still_writing()
        run = flow.memewax(2, chance.choice([0.1, 0.3]))
        goal = flow.lines() + chance.choice([0, 1, 5, 10])
        wait_for(flow, run, goal)
        time.sleep(chance.expovariate(2))
        victims = [*run.workers(), run.process]
        chance.choice(victims).kill()
        run.result()
        world.complete(chance.choice([0, 1, 3]))
    world.complete(POSTS)
    flow.settings["retry_wait_seconds"] = 90
    flow.memewax(2).end()
    check(flow, world)

"""An image that is half written at first is read whole in the end: once for each revision, wherever it is killed."""

import os
import time
from pathlib import Path

import numpy as np
import orjson

from tests.factories import image_of
from tests.flows.runs import Flow, Row, wait_for, whole_lines

COUNT = 12
HALVES = {3, 7}


def half_written(folder: Path) -> dict[Path, bytes]:
    """Posts in a file; of some the image is cut, and what it will be is given."""
    folder.mkdir()
    random = np.random.default_rng(3)
    lines, whole = [], {}
    for number in range(COUNT):
        image = folder / f"{number}.png"
        data = image_of(number, random)
        image.write_bytes(data[: len(data) // 2] if number in HALVES else data)
        if number in HALVES:
            whole[image] = data
            os.utime(image, (time.time() + 50,) * 2)  # as if just written, however long a process takes to start
        lines.append(orjson.dumps({"global_id": f"{number}-reddit", "url": image.name}) + b"\n")
    (folder / "posts.jsonl").write_bytes(b"".join(lines))
    return whole


def finish(whole: dict[Path, bytes]) -> None:
    for image, data in whole.items():
        draft = image.with_suffix(".draft")
        draft.write_bytes(data)
        draft.replace(image)


def revisions(flow: Flow) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for line in whole_lines(flow.out):
        row = orjson.loads(line)
        found.setdefault(row["global_id"], []).append(row)
    return found


def check(flow: Flow) -> None:
    found = revisions(flow)
    assert len(found) == COUNT
    stored = flow.stored()
    for global_id, rows in found.items():
        is_half = int(global_id.partition("-")[0]) in HALVES
        assert [row["revision"] for row in rows] == ([1, 2] if is_half else [1])
        assert [bool(row["failures"]) for row in rows] == ([True, False] if is_half else [False])
        assert rows[-1]["text_as_read"].startswith("Tone")
        assert stored[global_id]["revision"] == rows[-1]["revision"]
        assert stored[global_id]["text_as_read"] == rows[-1]["text_as_read"]
    assert len(flow.dead_letters()) == len(HALVES)


def test_a_run_waits_for_tries_at_its_end(folder: Path, tmp_path: Path) -> None:
    whole = half_written(tmp_path / "images")
    flow = Flow(folder, tmp_path / "images" / "posts.jsonl", to_store=True, retry_wait_seconds=60)
    run = flow.worker()
    run.until(lambda: flow.lines() >= COUNT)
    finish(whole)
    run.end()
    check(flow)
    counts = run.counts()
    assert (counts.posts, counts.updated, counts.retry_waiting) == (COUNT, 2, 0)


def test_killed_wherever_it_is_a_try_is_neither_lost_nor_made_twice(folder: Path, tmp_path: Path) -> None:
    whole = half_written(tmp_path / "images")
    flow = Flow(folder, tmp_path / "images" / "posts.jsonl", to_store=True)
    run = flow.worker()
    run.end()
    assert run.counts().retry_waiting == len(HALVES)
    finish(whole)
    for image in whole:  # long ago: nothing but the queue brings it back
        os.utime(image, (1, 1))
    flow.settings["retry_wait_seconds"] = 60
    for seen in (COUNT + 1, COUNT + 2):
        run = flow.worker()
        wait_for(flow, run, seen)
        run.kill()
        time.sleep(0.1)
    flow.worker().end()
    check(flow)


def test_a_post_that_is_put_right_and_sent_again_is_looked_at(folder: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    half_written(images)
    source = images / "posts.jsonl"
    good = source.read_bytes()
    source.write_bytes(good.replace(b"5.png", b"missing.png"))
    flow = Flow(folder, source, to_store=True, retry_tries=0)
    flow.worker().end()
    assert flow.stored()["5-reddit"]["text_as_read"] is None
    with source.open("ab") as file:
        file.write(good.splitlines(keepends=True)[5] + good.splitlines(keepends=True)[6])
    flow.worker().end()
    rows = revisions(flow)
    assert [row["revision"] for row in rows["5-reddit"]] == [1, 2]
    assert [row["revision"] for row in rows["6-reddit"]] == [1]
    assert flow.stored()["5-reddit"]["text_as_read"].startswith("Tone")
    assert flow.stored()["5-reddit"]["cluster"] >= 0


def test_a_dead_letter_that_is_replayed_is_the_next_revision_and_never_doubled(folder: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    whole = half_written(images)
    flow = Flow(folder, images / "posts.jsonl", to_store=True, retry_tries=0)
    flow.worker().end()
    finish(whole)
    command = ["tests.flows.cli", "dead-letters", "replay", "--store", str(flow.store), "--from", str(flow.dead)]
    for count in (len(HALVES), 0):
        run = flow._start([*command, "--json"])
        run.end()
        assert run.summary["replayed"] == count
    check(flow)
    (flow.store / "dead-letters.marks.jsonl").unlink()  # as if the command had died before it marked them
    flow._start(command).end()
    check(flow)

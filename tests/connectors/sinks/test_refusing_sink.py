"""What is refused after its delete, and what is let go of that was written before."""

import pickle
from pathlib import Path
from typing import Any

import pytest

from connectors.kafka.kafka_sink import KafkaSink
from connectors.sinks.jsonl_sink import JsonlSink
from connectors.sinks.refusing_sink import OfPost, RefusingSink, RefusingWriter
from connectors.sinks.sink import Mark, OutMessage
from core.records import Removal
from core.removals import PostNames, Removed
from tests.factories import message, post


def of(name: str, **fields: Any) -> OfPost:
    return OfPost(OutMessage(name.encode(), name.encode()), PostNames.of(post(name, **fields)))


def gone(name: str) -> Removal:
    return Removal(message({}), post_id=name)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


def opened(path: Path, mark: Mark = None, forgotten: list[int] | None = None) -> RefusingWriter:
    def forget(removed: Removed) -> None:
        if forgotten is not None:
            forgotten.append(len(removed))

    recovery = path.parent / "recovery"
    recovery.mkdir(exist_ok=True)
    sink = RefusingSink(JsonlSink(path, "out", recovery), forget=forget)
    return sink.open(sink.parts()[0], mark)


def test_what_comes_after_its_delete_is_refused_after_a_crash_too(path: Path) -> None:
    writer = opened(path)
    writer.write([of("1-a"), of("2-a"), gone("1-a"), OutMessage(b"1-a", b"told"), of("1-a"), of("3-a")])
    mark = pickle.loads(pickle.dumps(writer.snapshot()))
    writer.write([of("4-a"), gone("5-a")])
    writer.close()
    again = opened(path, mark)
    again.write([of("1-a"), of("4-a"), of("5-a")])
    again.close()
    assert path.read_bytes().split() == [b"1-a", b"2-a", b"told", b"3-a", b"4-a", b"5-a"]


def test_a_mark_of_a_sink_that_remembered_nothing_is_gone_on_from(path: Path) -> None:
    writer = opened(path)
    writer.write([of("1-a")])
    mark = writer.snapshot()
    assert mark == {"version": 1, "offset": 4}
    writer.close()
    again = opened(path, mark)
    again.write([of("2-a")])
    again.close()
    assert path.read_bytes().split() == [b"1-a", b"2-a"]


def test_a_post_that_is_newer_than_the_delete_of_its_name_is_written(path: Path) -> None:
    writer = opened(path)
    time = post(created_time="2026-07-04T12:00:00Z").changed
    writer.write(
        [
            Removal(message({}), url="1.png", time=time),
            of("1-a", created_time="2026-07-04T11:00:00Z"),
            of("2-a", created_time="2026-07-04T13:00:00Z"),
        ]
    )
    writer.close()
    assert path.read_bytes() == b"2-a\n"


def test_what_was_written_before_is_let_go_of_when_there_is_something(path: Path) -> None:
    forgotten: list[int] = []
    writer = opened(path, None, forgotten)
    writer.write([of("1-a")])
    writer.snapshot()
    assert forgotten == []
    writer.write([gone("1-a")])
    mark = writer.snapshot()
    assert len(forgotten) == 1
    writer.write([gone("2-a")])
    writer.close()  # whatever was due later
    assert len(forgotten) == 2
    again = opened(path, mark, forgotten)
    again.snapshot()  # a run that was killed may not have come to it
    assert len(forgotten) == 3


def test_there_is_a_key_for_each_part_of_a_sink() -> None:
    for sink in (JsonlSink(Path("out.jsonl"), "out"), KafkaSink("localhost:1", "topic", config={}, timeout=1)):
        parts = len(sink.parts())
        assert sorted(sink.hash_of_key(key) % parts for key in sink.part_keys()) == list(range(parts))

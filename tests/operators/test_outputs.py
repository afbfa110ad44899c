"""Records into several sinks at once, and dead letters into theirs."""

import re
from base64 import b64decode
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from bytewax import operators as op
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSource, run_main
from prometheus_client import REGISTRY

from connectors.sinks.rows import HEADER_PREFIX
from connectors.store.posts_table import PostStore
from core.errors import SettingsError, WorldError
from core.records import ClusterEvent, DeadLetter, Failure, Message, Record, Removal, Thumbnail
from dataflows.all_settings import Settings
from operators.outputs import _keyed_thumbnails, write_cluster_events, write_dead_letters, write_posts, write_records
from tests.brokers import MockBroker, create_topic, read_topic
from tests.factories import arrival, message, post, record, sides

LARGE = Record(post("large", description="x" * 3000), sides("large"))
LONG = replace(post("long"), message=message(b"x" * 5000))
SMALL = record("small")
FAILED = record("failed", text=Failure("text", "ValueError", "no"))


def flow(
    records: list[Record],
    letters: list[DeadLetter] | None = None,
    removals: list[Removal] | None = None,
    **settings: Any,
) -> Dataflow:
    made = Dataflow("test")
    chosen = Settings(**settings)
    gone = op.input("removals", made, TestingSource(removals or []))
    failed = write_records(
        "write", op.input("records", made, TestingSource(records)), chosen, {"embedding": 8, "text_embedding": 8}, gone
    )
    others = op.input("letters", made, TestingSource(letters or []))
    write_dead_letters("dead_letters", chosen, gone, failed, others)
    return made


def run(*args: Any, **settings: Any) -> None:
    run_main(flow(*args, **settings))


def lines(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_every_sink_gets_every_record(tmp_path: Path, mock_broker: MockBroker) -> None:
    topic = create_topic(mock_broker)
    run([SMALL, FAILED], to=("store", "records.jsonl", f"kafka://{mock_broker.bootstrap}/{topic}"))
    written = lines(tmp_path / "records.jsonl")
    stored = PostStore(tmp_path / "store", 8, 8).rows()
    sent = read_topic(mock_broker, topic)
    assert [row["global_id"] for row in written] == ["small", "failed"]
    assert sorted(row["global_id"] for row in stored) == ["failed", "small"]
    assert sorted(((it.key or b"").decode(), orjson.loads(it.value or b"")["global_id"]) for it in sent) == [
        ("failed", "failed"),
        ("small", "small"),
    ]


def test_what_is_taken_back_goes_from_a_store_is_a_tombstone_in_a_topic_and_a_line_in_a_file(
    tmp_path: Path, mock_broker: MockBroker
) -> None:
    topic = create_topic(mock_broker)
    gone = [Removal(message({}), author="ann", source="a", hidden=True), Removal(message({}), post_id="small")]
    to = ("store", "records.jsonl", f"kafka://{mock_broker.bootstrap}/{topic}")
    run([SMALL, record("other")], removals=gone, to=to)
    assert [row["global_id"] for row in PostStore(tmp_path / "store", 8, 8).rows()] == ["other"]
    told = lines(tmp_path / "records.jsonl")
    assert [it["global_id"] for it in told if "global_id" in it] == ["small", "other"]
    assert [it for it in told if "global_id" not in it] == [
        {"author": "ann", "source": "a", "hidden": True},
        {"post_id": "small", "deleted": True},
    ]
    sent = read_topic(mock_broker, topic)
    empty = [it.key for it in sent if it.value is None]
    assert sorted(key for key in empty if key)[:3] == [b"small", b"small_1", b"small_10"]
    assert len(empty) == 21
    assert sum(it.value is not None for it in sent) == 2


@pytest.mark.parametrize(
    "gone",
    [
        Removal(message({}), global_id="failed"),
        Removal(message({}), post_id="failed"),
        Removal(message({}), url="1.png"),
        Removal(message({}), author="ann", source="a"),
    ],
)
def test_a_record_or_letter_that_comes_after_its_delete_comes_to_no_sink(
    tmp_path: Path, mock_broker: MockBroker, gone: Removal
) -> None:
    out, dead = create_topic(mock_broker), create_topic(mock_broker)
    told = {"global_id": "failed", "url": "1.png", "author": "ann", "source": "a"}
    late = replace(FAILED, post=replace(FAILED.post, author="ann", source="a", message=message(told)))
    other = replace(SMALL, post=replace(SMALL.post, url="2.png"))
    addresses = [f"kafka://{mock_broker.bootstrap}/{it}" for it in (out, dead)]
    run([other, late], removals=[gone], to=("store", "records.jsonl", addresses[0]), dead_letters=addresses[1])
    assert [row["global_id"] for row in PostStore(tmp_path / "store", 8, 8).rows()] == ["small"]
    assert [it["global_id"] for it in lines(tmp_path / "records.jsonl") if "deleted" not in it] == ["small"]
    assert [it.key for it in read_topic(mock_broker, out) if it.value is not None] == [b"small"]
    assert read_topic(mock_broker, dead) == []


def test_letters_that_were_written_in_a_file_are_blanked(tmp_path: Path) -> None:
    told = [message({"global_id": name, "url": f"{name}.png"}) for name in ("one", "two")]
    letters = [DeadLetter(it, "fetch", "OSError", "no", name) for it, name in zip(told, ("one", "two"), strict=True)]
    later = [Removal(message({}), post_id="another"), Removal(message({}), post_id="one")]
    run([], letters, later, to=("records.jsonl",), dead_letters="dead.jsonl")
    assert [it.get("global_id") for it in lines(tmp_path / "dead.jsonl")] == [None, "two"]


def test_what_takes_posts_back_is_passed_on_with_them(tmp_path: Path) -> None:
    made, settings = Dataflow("test"), Settings(to=("posts.jsonl",))
    gone = Removal(message({"post_id": "1-a", "deleted": True}), post_id="1-a")
    removals = op.input("removals", made, TestingSource([gone]))
    letters = write_posts("write", op.input("posts", made, TestingSource([SMALL.post])), settings, removals)
    write_dead_letters("dead_letters", settings, removals, letters)
    run_main(made)
    assert {"post_id": "1-a", "deleted": True} in lines(tmp_path / "posts.jsonl")


def outputs(step: Any) -> list[str]:
    """Ids of the steps that write, which recovery folders know."""
    inner = [name for it in step.substeps for name in outputs(it)]
    return [*inner, step.step_id] if hasattr(step, "sink") else inner


def test_each_output_is_one_step_whose_inner_steps_are_known_by_recovery_folders() -> None:
    made = flow([SMALL], to=("store", "records.jsonl"))
    events = op.input("events", made, TestingSource([ClusterEvent("birth", 1)]))
    settings = Settings(to=("records.jsonl", "store"), cluster_events="events.jsonl")
    write_cluster_events("clusters", events, settings)
    assert [step.step_id for step in made.substeps if outputs(step)] == [
        "test.write",
        "test.dead_letters",
        "test.clusters",
    ]
    assert [re.sub("_[0-9a-f]{8}$", "", it) for it in outputs(made)] == [
        "test.write.sink_store",
        "test.write.sink_records",
        "test.dead_letters.sink",
        "test.clusters.store_store",
        "test.clusters.events",
    ]


def test_a_step_that_writes_is_called_by_what_it_writes_to_in_any_order() -> None:
    written = [outputs(flow([SMALL], to=to)) for to in (("store", "records.jsonl"), ("records.jsonl", "store"))]
    assert set(written[0]) == set(written[1])


def test_posts_are_written_as_they_were_read_and_one_too_large_for_a_topic_is_a_dead_letter(
    tmp_path: Path, mock_broker: MockBroker
) -> None:
    topic = create_topic(mock_broker)
    settings = Settings(
        to=("posts.jsonl", f"kafka://{mock_broker.bootstrap}/{topic}"), kafka={"message.max.bytes": "3000"}
    )
    made, read = Dataflow("test"), [SMALL.post, LONG]
    letters = write_posts("write", op.input("posts", made, TestingSource(read)), settings)
    none: list[Removal] = []
    write_dead_letters("dead_letters", settings, op.input("removals", made, TestingSource(none)), letters)
    assert [len(outputs(made)), outputs(made)[-1]] == [3, "test.dead_letters.sink"]
    run_main(made)
    assert (tmp_path / "posts.jsonl").read_bytes() == b"".join(it.message.value + b"\n" for it in read)
    assert [it.value for it in read_topic(mock_broker, topic)] == [SMALL.post.message.value]
    (letter,) = lines(tmp_path / "posts.dead-letters.jsonl")
    assert (letter["stage"], letter["exception"], letter["global_id"]) == ("write", "TooLarge", "long")


def test_all_sinks_agree_on_when_a_record_was_joined(tmp_path: Path) -> None:
    run([SMALL], to=("store", "records.jsonl"))
    (written,), (stored,) = lines(tmp_path / "records.jsonl"), PostStore(tmp_path / "store", 8, 8).rows()
    assert written["joined_time"] == stored["joined_time"]


def test_dead_letters_go_beside_the_first_sink(tmp_path: Path) -> None:
    letter = DeadLetter(message(b"no"), "parse", "BadRecordError", "not JSON")
    run([SMALL, FAILED], [letter], to=("out/records.jsonl",))
    told = lines(tmp_path / "out" / "records.dead-letters.jsonl")
    assert sorted((it["stage"], it["global_id"]) for it in told) == [("parse", None), ("text", "failed")]


def test_a_record_too_large_for_a_topic_becomes_a_dead_letter_and_goes_everywhere_else(
    tmp_path: Path, mock_broker: MockBroker
) -> None:
    topic = create_topic(mock_broker)
    run(
        [SMALL, LARGE],
        to=("records.jsonl", f"kafka://{mock_broker.bootstrap}/{topic}"),
        kafka={"message.max.bytes": "3000"},
    )
    assert [it.key for it in read_topic(mock_broker, topic)] == [b"small"]
    assert [row["global_id"] for row in lines(tmp_path / "records.jsonl")] == ["small", "large"]
    (letter,) = lines(tmp_path / "records.dead-letters.jsonl")
    assert (letter["stage"], letter["global_id"]) == ("write", "large")
    assert "too many for the topic" in letter["reason"]
    assert b64decode(letter["value"]) == LARGE.post.message.value


def test_dead_letters_into_a_topic_keep_the_message_and_say_why(tmp_path: Path, mock_broker: MockBroker) -> None:
    topic = create_topic(mock_broker)
    letter = DeadLetter(message(b"\xff" * 5000), "parse", "BadRecordError", "not JSON")
    run([], [letter], to=("store",), dead_letters=f"kafka://{mock_broker.bootstrap}/{topic}")
    (stored,) = read_topic(mock_broker, topic)
    assert stored.value == b"\xff" * 5000
    assert dict(stored.headers)[f"{HEADER_PREFIX}reason"] == b"not JSON"


def test_a_dead_letter_too_large_for_its_topic_is_cut(tmp_path: Path, mock_broker: MockBroker) -> None:
    topic = create_topic(mock_broker)
    letter = DeadLetter(message(b"\xff" * 5000), "parse", "BadRecordError", "not JSON")
    run(
        [],
        [letter],
        to=("store",),
        dead_letters=f"kafka://{mock_broker.bootstrap}/{topic}",
        kafka={"message.max.bytes": "3000"},
    )
    (stored,) = read_topic(mock_broker, topic)
    assert 1000 < len(stored.value or b"") < 3000


@pytest.mark.parametrize(
    ("value", "key", "headers"),
    [
        (b"no", b"k" * 999_900, ()),
        (b"no", b"k", (("h", b"x" * 999_900),)),
        (b"v" * 500_000, b"k" * 500_000, tuple((f"h{number}", b"x" * 100) for number in range(9_000))),
        (b"", None, tuple((f"memewax.{number}", b"x" * 50_000) for number in range(30))),
        (b"", None, (("n" * 999_000, None),)),
    ],
    ids=["key", "header", "everything", "headers like ours", "header name"],
)
def test_no_message_is_too_large_to_become_a_dead_letter(
    value: bytes,
    key: bytes | None,
    headers: tuple[tuple[str, bytes | None], ...],
    tmp_path: Path,
    mock_broker: MockBroker,
) -> None:
    topic = create_topic(mock_broker)
    letter = DeadLetter(Message(value, "kafka:posts/0@7", key, headers), "parse", "BadRecordError", "r" * 999_999)
    run([], [letter], to=("store",), dead_letters=f"kafka://{mock_broker.bootstrap}/{topic}")
    (stored,) = read_topic(mock_broker, topic)
    told = dict(stored.headers)
    assert (told[f"{HEADER_PREFIX}reason"] or b"").decode().endswith("r… (999,999 characters)")
    assert told[f"{HEADER_PREFIX}origin"] == b"kafka:posts/0@7"
    if key and len(key) > 300_000:
        assert told["memewax.key-bytes"] == str(len(key)).encode()
        assert key.startswith(stored.key or b"-")
    kept = sum(name in told for name, _ in headers)
    if not headers or headers[0][0].startswith("memewax."):
        return
    assert kept + int(told.get("memewax.headers-left-out") or 0) == len(headers)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "no sink"),
        ({"to": ("kafka://here:9092",)}, "is not kafka://HOST:PORT/TOPIC"),
        ({"to": ("store",), "dead_letters": "dead"}, "dead letters go to"),
        ({"to": ("a.jsonl", "./a.jsonl")}, "named twice"),
        ({"to": ("a.jsonl",), "dead_letters": "a.jsonl"}, "named twice"),
        ({"source": ".", "to": ("a.jsonl",)}, "lies in the source"),
    ],
)
def test_sinks_that_cannot_be_are_settings_to_correct(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        flow([], **settings)


@pytest.mark.parametrize("to", ["file/store", "file/records.jsonl"])
def test_a_sink_that_cannot_be_written_is_told_before_anything_is_read(to: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WorldError, match="file"):
        flow([], to=(to,))


def test_the_age_of_a_record_is_measured_at_each_sink(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    young = replace(record("young"), post=post("young", ingestion_time=now - timedelta(seconds=5)))
    names = ("aged", "aged.jsonl")
    run([young, SMALL], to=names)
    for name in names:
        labels = {"sink": name}
        assert REGISTRY.get_sample_value("memewax_sink_age_seconds_count", labels) == 1  # SMALL has no time
        assert 5 <= (REGISTRY.get_sample_value("memewax_sink_age_seconds_sum", labels) or 0) < 60


def test_a_thumbnail_goes_where_its_post_does_and_tells_the_size_of_what_was_read() -> None:
    read = replace(arrival("1"), thumbnail=b"webp", width=40, height=30)
    (told,) = _keyed_thumbnails([arrival("none was asked for"), read])
    assert told == ("1", Thumbnail(read.post, b"webp", 40, 30))


def test_writes_to_a_store_are_counted() -> None:
    def counted(name: str) -> float:
        return REGISTRY.get_sample_value(name, {"table": "posts"}) or 0.0

    before = counted("memewax_store_writes_total")
    waiting = REGISTRY.get_sample_value("memewax_store_waiting")  # of other tests, whose writers failed
    run([SMALL, FAILED], to=("counted",))
    assert counted("memewax_store_writes_total") > before
    assert counted("memewax_store_rows") == 2
    assert counted("memewax_store_fragments") >= 1
    assert counted("memewax_store_bytes") > 0
    assert REGISTRY.get_sample_value("memewax_store_waiting") == waiting


def test_dead_letters_are_counted_by_classes_of_reasons() -> None:
    labels = {"stage": "parse", "reason": "not_json"}
    before = REGISTRY.get_sample_value("memewax_dead_letters_total", labels) or 0.0
    letters = [DeadLetter(message(b"x"), "parse", "BadRecordError", f"not JSON: {it}") for it in ("a", "b\n\x1b[2J")]
    run([], letters, to=("records.jsonl",))
    assert REGISTRY.get_sample_value("memewax_dead_letters_total", labels) == before + 2

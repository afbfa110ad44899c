"""`memewax topics`: what it prints, what it makes, and how it ends."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
import yaml
from confluent_kafka.admin import AdminClient
from jsonschema import Draft202012Validator
from rich.console import Console

from connectors.topics import declared as topics
from connectors.topics.bodies import schema
from memewax.commands import topics as commands
from tests.brokers import RealBroker, unused_address
from tests.commands.typed import Memewax


@pytest.fixture
def brokers(real_broker: RealBroker, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A broker, and a list of a few topics under names that nobody else uses."""
    suffix = f"-{uuid.uuid4().hex[:8]}"
    own = tuple(replace(topic, name=topic.name + suffix) for topic in topics.FLOW)
    # Logs would be bound to this test's stderr for good.
    monkeypatch.setattr("memewax.commands.topics.configure_logging", lambda _: None)
    monkeypatch.setattr(topics, "TOPICS", own)
    monkeypatch.setattr(topics, "NAMES", tuple(topic.name for topic in own))
    yield real_broker.bootstrap
    admin = AdminClient({"bootstrap.servers": real_broker.bootstrap})
    for future in admin.delete_topics([topic.name for topic in own]).values():
        future.exception(30)


def test_making_and_checking(memewax: Memewax, brokers: str) -> None:
    count = len(topics.NAMES)
    missing = memewax("topics", "check", "--brokers", brokers)
    assert missing.code == 3
    assert missing.out.count("missing") == count
    assert f"{count} topics not as declared: posts-" in missing.err

    made = memewax("topics", "create", "--brokers", brokers)
    assert (made.code, made.out.count("created ")) == (0, count)
    assert "1 broker, so 1 replica of each partition instead of 3" in made.err

    assert memewax("topics", "check", "--brokers", brokers).code == 0
    again = memewax("topics", "create", "--brokers", brokers)
    assert (again.code, again.out.count("exists")) == (0, count)

    described = memewax("topics", "describe", "--brokers", brokers, "--json")
    (posts, *_) = orjson.loads(described.out)
    assert (posts["found"]["partitions"], posts["found"]["replication"]) == (8, 1)
    assert "8 x 1" in memewax("topics", "describe", "--brokers", brokers).out


def test_another_number_of_partitions_is_told_and_left(memewax: Memewax, brokers: str) -> None:
    posts = topics.NAMES[0]
    words = ["--brokers", brokers, "--only", posts]
    assert memewax("topics", "create", *words, "--partitions", 2).code == 0
    assert memewax("topics", "check", *words, "--partitions", 2).code == 0

    again = memewax("topics", "create", *words, "--json")
    assert again.code == 0
    assert "they were left unchanged" in again.err
    (told,) = orjson.loads(again.out)
    difference = {"topic": posts, "what": "partitions", "found": "2", "expected": "8"}
    assert (told["made"], told["differences"]) == (False, [difference])

    checked = memewax("topics", "check", *words, "--json")
    assert (checked.code, orjson.loads(checked.out)) == (3, [difference])


def test_more_copies_than_brokers_are_refused_where_they_are_asked_for(memewax: Memewax, brokers: str) -> None:
    done = memewax("topics", "create", "--brokers", brokers, "--replication", 3)
    assert (done.code, done.out, done.err.count("\n")) == (3, "", 1)
    assert "lower --replication" in done.err


def test_without_a_broker_there_is_one_line() -> None:
    """A process of its own: what it logs is bound to its stderr."""
    address = unused_address()
    done = subprocess.run(
        [sys.executable, "-m", "memewax", "topics", "check", "--brokers", address],
        env={**os.environ, "MEMEWAX_KAFKA_TIMEOUT_SECONDS": "0.5"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (3, "")
    (told,) = done.stderr.splitlines()
    assert told.startswith(f"memewax: looking up topics at {address} failed: ")
    assert "start the broker" in told


def test_a_topic_that_is_not_in_the_list_is_refused(memewax: Memewax) -> None:
    done = memewax("topics", "describe", "--only", "psots")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)


def test_names_are_whole_on_a_narrow_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folded, perhaps, but not cut."""
    rows = [commands._plain(topic) for topic in topics.chosen(["sentence_to_kafka_1"])]
    console = Console(width=80)
    with console.capture() as capture:
        console.print(commands._described(rows, with_found=False))
    assert "…" not in capture.get()


def test_the_list_alone_is_described_without_a_broker(memewax: Memewax) -> None:
    listed = orjson.loads(memewax("topics", "describe", "--json").out)
    assert [topic["name"] for topic in listed] == list(topics.NAMES)
    table = memewax("topics", "describe").out
    assert all(name in table for name in topics.NAMES)


def test_the_document_is_printed_in_both_forms(memewax: Memewax) -> None:
    in_json = orjson.loads(memewax("topics", "asyncapi", "--json").out)
    assert in_json["asyncapi"] == "3.0.0"
    assert yaml.safe_load(memewax("topics", "asyncapi").out) == in_json


def test_what_a_run_writes_is_what_the_schemas_say(memewax: Memewax, tmp_path: Path) -> None:
    posts = [{"global_id": f"{number}-reddit", "url": "1.png", "score": number} for number in range(20)]
    (tmp_path / "posts.jsonl").write_bytes(b"\n".join([*map(orjson.dumps, posts), b"no post"]) + b"\n")
    done = memewax("run", "--from", "posts.jsonl", "--to", "out.jsonl", "--dead-letters", "dead.jsonl", "--json")
    assert done.summary()["joined"] == 20
    for name, file, count in (("record", "out.jsonl", 20), ("dead-letter-line", "dead.jsonl", 1)):
        bodies = (tmp_path / file).read_bytes().splitlines()
        assert len(bodies) == count
        for body in bodies:
            Draft202012Validator(schema(name)).validate(orjson.loads(body))

"""Kafka to Kafka and store, in two processes: counts, keys, headers, and what dies on the way."""

from collections import Counter
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
from confluent_kafka import Producer

from connectors.sinks.rows import HEADER_PREFIX
from core.settings import as_variable
from tests.brokers import Broker, MockBroker, RealBroker, Stored, committed, create_topic, read_topic
from tests.factories import Posts
from tests.flows.checks import outcome, outcomes
from tests.flows.runs import Flow, Running, in_words, logged

OWN: Final = ("sent-by", b"tests")


class Topics:
    """A flow from a topic to a topic and a store, its dead letters into a topic."""

    def __init__(self, broker: Broker, posts: Posts, folder: Path, **settings: Any) -> None:
        self.broker = broker
        self.source, self.out, self.dead = (create_topic(broker, 3, name) for name in ("posts", "records", "dead"))
        self.flow = Flow(folder, self.address(self.source), fetch_folder=posts.path.parent, to_store=True, **settings)
        self.flow.settings["to"] = as_variable([self.address(self.out), str(self.flow.store)])
        self.flow.settings["dead_letters"] = self.address(self.dead)
        publish(broker, self.source, posts)

    def address(self, topic: str) -> str:
        return f"kafka://{self.broker.bootstrap}/{topic}"

    def records(self) -> list[Stored]:
        return read_topic(self.broker, self.out)

    def dead_letters(self) -> list[Stored]:
        return read_topic(self.broker, self.dead)

    def wait_for(self, run: Running, rows: int) -> None:
        """Until so many are in the store."""
        table = self.flow.store / "posts.lance"
        run.until(lambda: table.exists() and len(self.flow.stored()) >= rows, pause=0.1)


def publish(broker: Broker, topic: str, posts: Posts) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    for number, line in enumerate(posts.lines):
        producer.produce(topic, line.rstrip(b"\n"), key_of(line, number), headers=[OWN])
    assert producer.flush(30) == 0


def key_of(line: bytes, number: int = 0) -> bytes:
    try:
        key: str = orjson.loads(line)["global_id"]
    except orjson.JSONDecodeError:
        return b"garbage-%d" % number
    return key.encode()


def check_topics(topics: Topics, posts: Posts, *, once: bool) -> None:
    """Every id is in the store once and in the topic at least once, or `once`."""
    stored = topics.flow.stored()
    assert stored.keys() == posts.ids
    records = topics.records()
    last = {}
    for record in records:
        row = orjson.loads(record.value or b"")
        assert (record.key or b"").decode() == row["global_id"]
        last[row["global_id"]] = row
    assert last.keys() == posts.ids
    assert outcomes(last) == {global_id: outcome(row) for global_id, row in stored.items()}
    assert not once or len(records) == len(posts.ids)
    check_dead_letters(topics, posts, once=once)


def check_dead_letters(topics: Topics, posts: Posts, *, once: bool) -> None:
    """The bytes, key and headers that came in, and what was wrong with them."""
    letters = topics.dead_letters()
    expected = Counter([*posts.garbage, *(line.rstrip(b"\n") for line in posts.broken.values())])
    by_origin = {dict(letter.headers)[f"{HEADER_PREFIX}origin"]: letter for letter in letters}
    assert Counter(letter.value for letter in by_origin.values()) == expected
    assert not once or len(letters) == len(by_origin)
    for letter in letters:
        told = {name.removeprefix(HEADER_PREFIX): value for name, value in letter.headers if name != OWN[0]}
        assert letter.headers[0] == OWN
        assert (told["origin"] or b"").startswith(f"kafka:{topics.source}/".encode())
        assert told["exception"]
        assert told["reason"]
        if letter.value in posts.garbage:
            assert told["stage"] == b"parse"
            assert (letter.key or b"").startswith(b"garbage-")
        else:
            assert told["stage"] == b"fetch"
            assert letter.key == key_of(letter.value or b"") == told["global_id"]


def check_end_without_broker(run: Running) -> None:
    """One line says what to do, below what was logged."""
    code, said = run.result()
    assert code == 3, said
    (last,) = in_words(said)
    assert last.startswith("memewax: ")
    assert "start the broker" in last
    assert {line["level"] for line in logged(said)} <= {"warning", "info"}, said


def test_topic_to_topic_and_store_in_two_processes(best_broker: Broker, posts: Posts, folder: Path) -> None:
    group = f"watched-{folder.parent.name}"
    topics = Topics(best_broker, posts, folder, kafka_group=group)
    run = topics.flow.memewax(processes=2)
    run.end()
    assert sum(committed(best_broker, topics.source, group).values()) == len(posts.lines), "lag tools see no lag"
    assert run.summary["posts"] == run.summary["joined"] == len(posts.ids)
    assert run.summary["dead_letters"] == len(posts.garbage) + len(posts.broken)
    check_topics(topics, posts, once=True)


def test_one_process_killed_and_all_started_again(best_broker: Broker, posts: Posts, folder: Path) -> None:
    topics = Topics(best_broker, posts, folder, seconds=0.03)
    run = topics.flow.memewax(processes=2)
    topics.wait_for(run, 30)
    run.workers()[1].kill()
    code, said = run.result()
    assert (code, len(in_words(said))) == (1, 1), said
    again = topics.flow.memewax(processes=2)
    again.end()
    assert again.summary["posts"] < len(posts.ids)
    check_topics(topics, posts, once=False)


def test_a_broker_that_is_gone_is_one_line(posts: Posts, folder: Path) -> None:
    broker = MockBroker()
    topics = Topics(broker, posts, folder, kafka_timeout_seconds=5, follow="true")  # so that it cannot end before
    run = topics.flow.memewax(processes=2)
    topics.wait_for(run, 10)
    broker.stop()
    check_end_without_broker(run)


@pytest.mark.slow
def test_a_broker_that_is_away_for_long_ends_the_run_and_the_next_goes_on(
    real_broker: RealBroker, posts: Posts, folder: Path
) -> None:
    topics = Topics(real_broker, posts, folder, seconds=0.03, kafka_timeout_seconds=3)
    run = topics.flow.memewax(processes=2)
    topics.wait_for(run, 30)
    real_broker.kill()
    check_end_without_broker(run)
    real_broker.start()
    topics.flow.memewax(processes=2).end()
    check_topics(topics, posts, once=False)


@pytest.mark.slow
def test_a_broker_that_comes_back_in_time_is_waited_for(real_broker: RealBroker, posts: Posts, folder: Path) -> None:
    topics = Topics(real_broker, posts, folder, seconds=0.03, kafka_timeout_seconds=90)
    run = topics.flow.memewax(processes=2)
    topics.wait_for(run, 30)
    real_broker.kill()
    real_broker.start()
    run.end()
    check_topics(topics, posts, once=False)

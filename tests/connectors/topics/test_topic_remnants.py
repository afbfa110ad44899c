"""How long topics keep what was deleted is said, and a dead letter that holds it is found."""

import pytest
from confluent_kafka import Producer

from connectors.endpoints import DEAD_LETTERS_TO, endpoint
from connectors.remnants import LookedFor
from connectors.sinks.rows import headers_of_dead_letter
from connectors.topics.topic_remnants import in_dead_letters, kept_in_topics, until_of
from core.records import DeadLetter
from dataflows.all_settings import load_settings
from tests.brokers import Broker, MockBroker, create_topic
from tests.factories import message

_COMPACTION = "the next compaction after a tombstone or a later message of the same key"
NAMES = LookedFor(("forgettable0003-a",))


@pytest.mark.parametrize(
    ("config", "until"),
    [
        (
            {"cleanup.policy": "compact", "retention.ms": "604800000"},
            f"until {_COMPACTION}",
        ),
        (
            {"cleanup.policy": "delete", "retention.ms": "604800000", "retention.bytes": "-1"},
            "until 7 days, 0:00:00 (retention.ms) have passed since it was written",
        ),
        (
            {"cleanup.policy": "compact, delete", "retention.ms": "3600000", "retention.bytes": "5"},
            f"until {_COMPACTION}, or 1:00:00 (retention.ms) have passed since it was written, or 5 newer bytes were written (retention.bytes)",
        ),
        ({"cleanup.policy": "delete", "retention.ms": "-1"}, "as long as the topic exists"),
        ({}, "as long as the topic exists"),
    ],
)
def test_until_when_is_said(config: dict[str, str | None], until: str) -> None:
    assert until_of(config) == until


def test_a_dead_letter_in_a_topic_is_found_and_its_retention_is_told(best_broker: Broker) -> None:
    topic = create_topic(best_broker)
    address = f"kafka://{best_broker.bootstrap}/{topic}"
    producer = Producer({"bootstrap.servers": best_broker.bootstrap})
    for name in ("kept0003-a", "forgettable0003-a", "forgettable00031-a"):
        letter = DeadLetter(message({"global_id": name, "url": "1.png"}), "fetch", "OSError", "no", name)
        producer.produce(topic, letter.message.value, name.encode(), headers=list(headers_of_dead_letter(letter)))
    assert producer.flush(30) == 0
    settings = load_settings(kafka_timeout_seconds=5)
    found = endpoint(address, DEAD_LETTERS_TO)
    (told,) = in_dead_letters(found, NAMES, settings)
    assert (told.place, told.why) == (address, "1 dead letter with it")
    assert "retention" in told.until
    assert list(in_dead_letters(found, LookedFor(("unknown0003-a",)), settings)) == []
    (kept,) = kept_in_topics([found, endpoint("letters.jsonl", DEAD_LETTERS_TO)], settings)
    assert (kept.place, kept.until) == (address, told.until)


def test_a_broker_that_does_not_answer_is_said() -> None:
    broker = MockBroker()
    address = f"kafka://{broker.bootstrap}/letters"
    broker.stop()
    (told,) = in_dead_letters(endpoint(address, DEAD_LETTERS_TO), NAMES, load_settings(kafka_timeout_seconds=0.5))
    assert told.why.startswith("it cannot be searched")

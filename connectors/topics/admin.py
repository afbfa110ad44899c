"""Kafka topic administration: find, create and compare topics with their declarations; never changes existing ones."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType  # type: ignore[attr-defined]
from confluent_kafka.cimpl import NewTopic

from connectors.kafka.kafka_client import Health, bad_config, base_config, call_with_retries
from connectors.topics.declared import Topic
from core.endings import plural
from core.errors import WorldError

_TICK: Final = 0.05
_ANSWER_SECONDS: Final = 5.0
"""Seconds that a response may take beyond the broker's timeout."""


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic as it is on the cluster."""

    partitions: int
    replication: int
    """Replicas of the partition that has the fewest."""
    config: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference between a topic and its declaration."""

    topic: str
    what: str
    """`topic` (it is missing), `partitions`, `replication`, or a Kafka property."""
    found: str
    expected: str


class TopicCluster:
    """Admin client for the topics of a Kafka cluster.

    Args:
        brokers: `HOST:PORT`, separated by commas.
        config: librdkafka properties.
        timeout: Seconds to wait for a broker.
    """

    def __init__(self, brokers: str, config: Mapping[str, str], timeout: float) -> None:
        """Create a client without connecting yet; raises `SettingsError` for an invalid property."""
        self._health = Health(brokers)
        self._timeout = timeout
        try:
            properties: dict[str, Any] = {**base_config(brokers, config, timeout), "error_cb": self._health}
            self._admin = AdminClient(properties)
        except KafkaException as exception:
            raise bad_config(exception) from exception

    def brokers(self) -> int:
        """Return the number of brokers; raises `WorldError` if none answers."""
        return len(self._metadata().brokers)

    def find(self, topics: Sequence[Topic]) -> dict[str, TopicState]:
        """Return the states of those `topics` that exist, by name; raises `WorldError` if no broker answers."""
        return self.states([topic.name for topic in topics])

    def states(self, names: Sequence[str]) -> dict[str, TopicState]:
        """Return the states of existing topics by name; raises `WorldError` if no broker answers."""
        there = self._metadata().topics
        names = [name for name in names if name in there]
        if not names:
            return {}
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]

        def configs(left: float) -> list[dict[str, Any]]:
            answers = self._admin.describe_configs(resources, request_timeout=left)
            return [answers[it].result(left + _ANSWER_SECONDS) for it in resources]

        found = {}
        for name, config in zip(names, self._ask("looking up topics", configs), strict=True):
            partitions = there[name].partitions.values()
            copies = min(len(partition.replicas) for partition in partitions)
            found[name] = TopicState(len(partitions), copies, {key: entry.value for key, entry in config.items()})
        return found

    def create(self, topics: Sequence[Topic]) -> list[str]:
        """Create the missing `topics`, and return their names; existing topics are left unchanged.

        Raises `WorldError` if one cannot be created, for instance with more replicas than brokers.
        """
        there = self._metadata()
        missing = [topic for topic in topics if topic.name not in there.topics]
        for topic in missing:
            if topic.replication > len(there.brokers):
                raise WorldError(
                    f"{topic.name} needs {topic.replication} replicas, but the cluster at {self._health.brokers} "
                    f"has {plural(len(there.brokers), 'broker')}: lower --replication, or add brokers"
                )
        made: list[str] = []

        def make(left: float) -> None:
            new = [NewTopic(it.name, it.partitions, it.replication, config=it.config) for it in missing]
            answers = self._admin.create_topics(new, operation_timeout=left, request_timeout=left)
            for name, answer in answers.items():
                try:
                    answer.result(left + _ANSWER_SECONDS)
                    made.append(name)
                except KafkaException as exception:  # another process may create them at the same time
                    if exception.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                        raise

        if missing:
            self._ask(f"creating {', '.join(topic.name for topic in missing)}", make)
            self._wait_for({topic.name: topic.partitions for topic in missing if topic.name in made})
        return made

    def _wait_for(self, partitions: Mapping[str, int]) -> None:
        """Wait until the brokers serve the topics that the controller created."""
        deadline = time.monotonic() + self._timeout
        while True:
            topics = self._metadata().topics
            if all(name in topics and len(topics[name].partitions) == count for name, count in partitions.items()):
                return
            if time.monotonic() > deadline:
                raise WorldError(
                    f"topics were created at {self._health.brokers} but are not served: see the broker's log"
                )
            time.sleep(_TICK)

    def _metadata(self) -> Any:
        return self._ask("looking up topics", lambda left: self._admin.list_topics(timeout=left))

    def _ask(self, doing: str, call: Any) -> Any:
        return call_with_retries(self._admin, self._health, doing, call, self._timeout)


def differences(topic: Topic, found: TopicState | None) -> list[Difference]:
    """Return the differences between `found` and the declaration `topic`."""
    if found is None:
        return [Difference(topic.name, "topic", "missing", "exists")]
    compared = [
        ("partitions", str(found.partitions), str(topic.partitions)),
        ("replication", str(found.replication), str(topic.replication)),
        *((name, found.config.get(name) or "unknown", value) for name, value in topic.config.items()),
    ]
    return [Difference(topic.name, what, is_, should) for what, is_, should in compared if _set(is_) != _set(should)]


def fitted(topics: Sequence[Topic], brokers: int) -> list[Topic]:
    """Limit the replication of topics to the number of brokers."""
    return [replace(topic, replication=max(1, min(topic.replication, brokers))) for topic in topics]


def _set(value: str) -> frozenset[str]:
    """Split a list, since `compact,delete` and `delete,compact` are the same policy."""
    return frozenset(value.split(","))

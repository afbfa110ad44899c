"""Topics on a cluster: found, made where they are missing, compared with what they should be, and never changed."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType  # type: ignore[attr-defined]
from confluent_kafka.cimpl import NewTopic

from connectors.kafka.kafka_client import Health, ask, bad_config, base_config
from connectors.topics.declared import Topic
from core.errors import WorldError

_TICK: Final = 0.05
_ANSWER_SECONDS: Final = 5.0
"""What a request may take beyond the time that the broker was given for it."""


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic as the cluster has it."""

    partitions: int
    replication: int
    """Copies of the partition that has the fewest."""
    config: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a topic is not as it should be."""

    topic: str
    what: str
    """`topic` (it is missing), `partitions`, `replication`, or a property of Kafka's."""
    found: str
    expected: str


class TopicCluster:
    """The topics of a cluster.

    Args:
        brokers: `HOST:PORT`, more after commas.
        config: librdkafka properties.
        timeout: Seconds to wait for a broker that does not answer.
    """

    def __init__(self, brokers: str, config: Mapping[str, str], timeout: float) -> None:
        """Raises `SettingsError` where a property is wrong; the broker is not asked yet."""
        self._health = Health(brokers)
        self._timeout = timeout
        try:
            properties: dict[str, Any] = {**base_config(brokers, config, timeout), "error_cb": self._health}
            self._admin = AdminClient(properties)
        except KafkaException as exception:
            raise bad_config(exception) from exception

    def brokers(self) -> int:
        """How many brokers it has; raises `WorldError` where none answers."""
        return len(self._metadata().brokers)

    def find(self, topics: Sequence[Topic]) -> dict[str, TopicState]:
        """Those of `topics` that are there, by name; raises `WorldError` where the cluster cannot be asked."""
        return self.states([topic.name for topic in topics])

    def states(self, names: Sequence[str]) -> dict[str, TopicState]:
        """Topics of these names, those that are there; raises `WorldError` where the cluster cannot be asked."""
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
        """Make those of `topics` that are missing, and nothing else; the names of those that were made.

        Raises `WorldError` where one cannot be made, for instance with more copies than there are brokers.
        """
        there = self._metadata()
        missing = [topic for topic in topics if topic.name not in there.topics]
        for topic in missing:
            if topic.replication > len(there.brokers):
                raise WorldError(
                    f"{topic.name} is to have {topic.replication} copies, and the cluster at {self._health.brokers} "
                    f"has {len(there.brokers)} brokers: ask for fewer with --replication, or add brokers"
                )
        made: list[str] = []

        def make(left: float) -> None:
            new = [NewTopic(it.name, it.partitions, it.replication, config=it.config) for it in missing]
            answers = self._admin.create_topics(new, operation_timeout=left, request_timeout=left)
            for name, answer in answers.items():
                try:
                    answer.result(left + _ANSWER_SECONDS)
                    made.append(name)
                except KafkaException as exception:  # somebody else may make them at the same time
                    if exception.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                        raise

        if missing:
            self._ask(f"making {', '.join(topic.name for topic in missing)}", make)
            self._wait_for({topic.name: topic.partitions for topic in missing if topic.name in made})
        return made

    def _wait_for(self, partitions: Mapping[str, int]) -> None:
        """Until the brokers serve what the controller has made."""
        deadline = time.monotonic() + self._timeout
        while True:
            topics = self._metadata().topics
            if all(name in topics and len(topics[name].partitions) == count for name, count in partitions.items()):
                return
            if time.monotonic() > deadline:
                raise WorldError(f"topics were made at {self._health.brokers} and are not served: see the broker's log")
            time.sleep(_TICK)

    def _metadata(self) -> Any:
        return self._ask("looking up topics", lambda left: self._admin.list_topics(timeout=left))

    def _ask(self, doing: str, call: Any) -> Any:
        return ask(self._admin, self._health, doing, call, self._timeout)


def differences(topic: Topic, found: TopicState | None) -> list[Difference]:
    """Where `found` is not what `topic` says; empty where all is well."""
    if found is None:
        return [Difference(topic.name, "topic", "missing", "there")]
    compared = [
        ("partitions", str(found.partitions), str(topic.partitions)),
        ("replication", str(found.replication), str(topic.replication)),
        *((name, found.config.get(name) or "not told", value) for name, value in topic.config.items()),
    ]
    return [Difference(topic.name, what, is_, should) for what, is_, should in compared if _set(is_) != _set(should)]


def fitted(topics: Sequence[Topic], brokers: int) -> list[Topic]:
    """The topics as a cluster of so many brokers can have them."""
    return [replace(topic, replication=max(1, min(topic.replication, brokers))) for topic in topics]


def _set(value: str) -> frozenset[str]:
    """`compact,delete` and `delete,compact` are one policy."""
    return frozenset(value.split(","))

"""Kafka topics as sources; each partition of the topic is a partition of the source."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from confluent_kafka import Consumer, KafkaException, TopicPartition

from connectors.kafka.group_offsets import GroupOffsets
from connectors.kafka.kafka_client import Health, bad_config, base_config, call_with_retries, close_consumer
from connectors.kafka.topic_reader import KafkaReader
from connectors.sources.source import Place, PlacedSource, Position, Reader, ReaderAround, Unit
from core.telemetry import log


class KafkaTopic(PlacedSource):
    """A topic; snapshots hold the offset in each partition.

    Offsets committed to Kafka only serve to monitor the consumer group's lag, and are never read here.

    Partitions added to the topic are found at the next start.

    Args:
        brokers: `HOST:PORT`, more after commas.
        topic: Name of the topic.
        follow: Whether to wait for new messages for ever; otherwise read to the end offsets at the start.
        batch: Maximum number of messages in a unit.
        config: librdkafka properties.
        timeout: Seconds that the broker may be down.
        group: Consumer group to commit to, unless `config` sets one; empty: none.
    """

    def __init__(
        self,
        brokers: str,
        topic: str,
        *,
        follow: bool,
        batch: int,
        config: Mapping[str, str],
        timeout: float,
        group: str = "",
    ) -> None:
        self._topic = topic
        self._follow = follow
        self._batch = batch
        self._timeout = timeout
        self._brokers = brokers
        self._group = config.get("group.id", group)
        self._config = {
            "group.id": group or "memewax",  # librdkafka requires one, and ACLs may refer to it
            "fetch.queue.backoff.ms": 10,  # the default pauses for 1 s whenever the queue was full
            "queued.max.messages.kbytes": 16_384,  # per partition; the default of 64 MB is too much with many
            # Closing waits this long for commits that no broker accepts; the group has no members.
            "session.timeout.ms": max(1_000, min(6_000, round(timeout * 1000))),
            **base_config(brokers, config, timeout),
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",  # do not reset silently: the reader decides
        }

    def parts(self) -> list[str]:
        """Return the partition numbers; raises `WorldError` if the broker or topic is missing."""
        return [str(number) for number in self._looked_up()[1]]

    def places(self) -> list["TopicPlace"]:
        """Return the topic as a place; raises `WorldError` if the broker or topic is missing."""
        cluster, partitions = self._looked_up()
        return [TopicPlace(self, self._topic, cluster, partitions)]

    def _looked_up(self) -> tuple[str | None, list[int]]:
        """Return the cluster's id, if any, and the partition numbers."""
        consumer, health = self._consumer()

        # Use a consumer, since the same request of an admin client would create the topic.
        def found(left: float) -> tuple[str | None, list[int]]:
            cluster = consumer.list_topics(self._topic, timeout=left)
            topic = cluster.topics[self._topic]
            if topic.error is not None:
                raise KafkaException(topic.error)
            return cluster.cluster_id, sorted(topic.partitions)

        try:
            return call_with_retries(consumer, health, f"looking up topic {self._topic}", found, self._timeout)
        finally:
            close_consumer(consumer, self._timeout)

    def open(self, part: str, resume: Position | None) -> KafkaReader:
        """Read a partition from its start or from `resume`.

        Messages that the topic no longer retains are skipped with a warning. Raises `WorldError` if the broker is down,
        and if `resume` is beyond the partition's end: then the topic was recreated or has lost messages, and resuming
        from its start or its end would be a guess.
        """
        place = TopicPartition(self._topic, int(part))
        offsets = GroupOffsets(place, self._group) if self._group else None
        consumer, health = self._consumer(offsets)
        reader = KafkaReader(consumer, health, place, self._batch, self._timeout, offsets)
        try:
            reader.start(resume, follow=self._follow)
        except BaseException:
            reader.close()
            raise
        return reader

    def _consumer(self, offsets: GroupOffsets | None = None) -> tuple[Consumer, Health]:
        health = Health(self._brokers)
        config = {**self._config, "error_cb": health, **({"on_commit": offsets.committed} if offsets else {})}
        try:
            return Consumer(config), health
        except KafkaException as exception:
            raise bad_config(exception) from exception


class TopicPlace(Place):
    """A topic, identified by its name and its cluster's id; the brokers' addresses may change."""

    def __init__(self, topic: KafkaTopic, name: str, cluster: str | None, partitions: list[int]) -> None:
        self.name = f"kafka:{name}"
        self._topic = topic
        self._cluster = cluster
        self._partitions = partitions

    def owns_positions(self, positions: Sequence[Position]) -> bool | None:
        """Return whether positions belong to this topic and cluster; None if unknown."""
        clusters = {it["cluster"] for it in positions if it.get("cluster") is not None}
        topics = {it["topic"] for it in positions if "topic" in it}
        if topics - {self.name} or (self._cluster is not None and clusters - {self._cluster}):
            return False
        return True if topics else None

    def was_called(self, name: str, positions: Sequence[Position]) -> bool:
        """Return whether positions belong to this topic; those of older versions do not name their topic."""
        if name:
            return False
        if self.owns_positions(positions) is None and positions:
            log.warning("positions of an older version are assumed to belong to this topic", topic=self.name)
        return self.owns_positions(positions) is not False

    def part_numbers(self, positions: Sequence[Position]) -> Iterable[int]:  # noqa: ARG002
        """Return the partition numbers."""
        return self._partitions

    def open(self, number: int, resume: Position | None, positions: Sequence[Position]) -> Reader:  # noqa: ARG002
        """Read a partition; its positions contain the topic and the cluster's id."""
        return _Named(self._topic.open(str(number), resume), {"topic": self.name, "cluster": self._cluster})


class _Named(ReaderAround):
    """A reader whose positions contain the topic and the cluster's id."""

    def __init__(self, inner: KafkaReader, identity: Mapping[str, str | None]) -> None:
        super().__init__(inner)
        self._identity = identity

    def read(self) -> Unit | None:
        unit = self._inner.read()
        return None if unit is None else replace(unit, resume={**unit.resume, **self._identity})

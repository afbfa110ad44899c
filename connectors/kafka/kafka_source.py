"""Messages of a Kafka topic, a part for each partition."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from confluent_kafka import Consumer, KafkaException, TopicPartition

from connectors.kafka.group_offsets import GroupOffsets
from connectors.kafka.kafka_client import Health, ask, bad_config, base_config, close_consumer
from connectors.kafka.topic_reader import KafkaReader
from connectors.sources.source import Place, PlacedSource, Position, Reader, ReaderAround, Unit
from core.telemetry import log


class KafkaTopic(PlacedSource):
    """A topic as it is; the position in each partition is kept in recovery.

    What is committed to Kafka is for those who watch its consumer groups, and read by nobody here.

    Partitions added to the topic are seen at the next start.

    Args:
        brokers: `HOST:PORT`, more after commas.
        topic: Its name.
        follow: Wait for more at the end, for ever; else read to the end that a partition has when it is opened.
        batch: Messages of a unit, at most.
        config: librdkafka properties.
        timeout: Seconds that the broker may be away.
        group: Consumer group to commit to, where `config` names none; empty: none.
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
            "group.id": group or "memewax",  # librdkafka wants one, and a broker's access lists may
            "fetch.queue.backoff.ms": 10,  # the default, 1 s, is a pause whenever the queue has been full
            "queued.max.messages.kbytes": 16_384,  # a partition; the default of 64 MB is much with many of them
            # Closing waits so long for commits that no broker can take any more; nobody is a member of the group.
            "session.timeout.ms": max(1_000, min(6_000, round(timeout * 1000))),
            **base_config(brokers, config, timeout),
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",  # not to jump in silence: the reader decides
        }

    def parts(self) -> list[str]:
        """The partitions, by number; raises `WorldError` where broker or topic is not there."""
        return [str(number) for number in self._looked_up()[1]]

    def places(self) -> list["TopicPlace"]:
        """The topic; raises `WorldError` where broker or topic is not there."""
        cluster, partitions = self._looked_up()
        return [TopicPlace(self, self._topic, cluster, partitions)]

    def _looked_up(self) -> tuple[str | None, list[int]]:
        """The cluster's id, where it has one, and the partitions."""
        consumer, health = self._consumer()

        # Asked by a consumer, since the same question from an admin client would create the topic.
        def found(left: float) -> tuple[str | None, list[int]]:
            cluster = consumer.list_topics(self._topic, timeout=left)
            topic = cluster.topics[self._topic]
            if topic.error is not None:
                raise KafkaException(topic.error)
            return cluster.cluster_id, sorted(topic.partitions)

        try:
            return ask(consumer, health, f"looking up topic {self._topic}", found, self._timeout)
        finally:
            close_consumer(consumer, self._timeout)

    def open(self, part: str, resume: Position | None) -> KafkaReader:
        """Read a partition from its start, or from where `resume` says.

        Messages that the topic no longer keeps are skipped with a warning. Raises `WorldError` where the broker is
        away, and where `resume` lies beyond the partition's end: then the topic has been made anew or has lost
        messages, and going on from its start or from its end would be a guess.
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
    """A topic, known by its name and the id of its cluster, whatever the addresses of the brokers are."""

    def __init__(self, topic: KafkaTopic, name: str, cluster: str | None, partitions: list[int]) -> None:
        self.name = f"kafka:{name}"
        self._topic = topic
        self._cluster = cluster
        self._partitions = partitions

    def knows(self, positions: Sequence[Position]) -> bool | None:
        """Whether positions are of this cluster; None where they do not say."""
        clusters = {it["cluster"] for it in positions if it.get("cluster") is not None}
        topics = {it["topic"] for it in positions if "topic" in it}
        if topics - {self.name} or (self._cluster is not None and clusters - {self._cluster}):
            return False
        return True if topics else None

    def was(self, name: str, positions: Sequence[Position]) -> bool:
        """Whether positions are of this topic; an older version did not say of which they were."""
        if name:
            return False
        if self.knows(positions) is None and positions:
            log.warning("positions of an older version are taken to be of this topic", topic=self.name)
        return self.knows(positions) is not False

    def numbers(self, positions: Sequence[Position]) -> Iterable[int]:  # noqa: ARG002
        """The partitions."""
        return self._partitions

    def open(self, number: int, resume: Position | None, positions: Sequence[Position]) -> Reader:  # noqa: ARG002
        """Read a partition; positions say which topic of which cluster they are of."""
        return _Named(self._topic.open(str(number), resume), {"topic": self.name, "cluster": self._cluster})


class _Named(ReaderAround):
    """A reader whose positions say what they are of."""

    def __init__(self, inner: KafkaReader, told: Mapping[str, str | None]) -> None:
        super().__init__(inner)
        self._told = told

    def read(self) -> Unit | None:
        unit = self._inner.read()
        return None if unit is None else replace(unit, resume={**unit.resume, **self._told})

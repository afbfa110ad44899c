"""Messages of a Kafka topic, a part for each partition."""

from collections.abc import Mapping

from confluent_kafka import Consumer, KafkaException, TopicPartition

from connectors.kafka.kafka_client import Health, ask, bad_config, base_config
from connectors.kafka.topic_reader import KafkaReader
from connectors.sources.source import Position, Source


class KafkaTopic(Source):
    """A topic as it is; the position in each partition is kept in recovery, nothing is committed to Kafka.

    Partitions added to the topic are seen at the next start.

    Args:
        brokers: `HOST:PORT`, more after commas.
        topic: Its name.
        follow: Wait for more at the end, for ever; else read to the end that a partition has when it is opened.
        batch: Messages of a unit, at most.
        config: librdkafka properties. `group.id` is used for nothing but a broker's access lists.
        timeout: Seconds that the broker may be away.
    """

    def __init__(
        self, brokers: str, topic: str, *, follow: bool, batch: int, config: Mapping[str, str], timeout: float
    ) -> None:
        self._topic = topic
        self._follow = follow
        self._batch = batch
        self._timeout = timeout
        self._brokers = brokers
        self._config = {
            "group.id": "memewax",
            "fetch.queue.backoff.ms": 10,  # the default, 1 s, is a pause whenever the queue has been full
            "queued.max.messages.kbytes": 16_384,  # a partition; the default of 64 MB is much with many of them
            **base_config(brokers, config, timeout),
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",  # not to jump in silence: the reader decides
        }

    def parts(self) -> list[str]:
        """The partitions, by number; raises `WorldError` where broker or topic is not there."""
        consumer, health = self._consumer()

        # Asked by a consumer, since the same question from an admin client would create the topic.
        def partitions(left: float) -> list[int]:
            found = consumer.list_topics(self._topic, timeout=left).topics[self._topic]
            if found.error is not None:
                raise KafkaException(found.error)
            return sorted(found.partitions)

        try:
            numbers = ask(consumer, health, f"looking up topic {self._topic}", partitions, self._timeout)
        finally:
            consumer.close()
        return [str(number) for number in numbers]

    def open(self, part: str, resume: Position | None) -> KafkaReader:
        """Read a partition from its start, or from where `resume` says.

        Messages that the topic no longer keeps are skipped with a warning. Raises `WorldError` where the broker is
        away, and where `resume` lies beyond the partition's end: then the topic has been made anew or has lost
        messages, and going on from its start or from its end would be a guess.
        """
        consumer, health = self._consumer()
        reader = KafkaReader(consumer, health, TopicPartition(self._topic, int(part)), self._batch, self._timeout)
        try:
            reader.start(resume, follow=self._follow)
        except BaseException:
            reader.close()
            raise
        return reader

    def _consumer(self) -> tuple[Consumer, Health]:
        health = Health(self._brokers)
        try:
            return Consumer({**self._config, "error_cb": health}), health
        except KafkaException as exception:
            raise bad_config(exception) from exception

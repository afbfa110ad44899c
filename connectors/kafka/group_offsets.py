"""How far a partition was read, told to a consumer group: for whoever watches it, and never gone on from."""

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from connectors.kafka.kafka_client import TRANSIENT
from core.telemetry import log


class GroupOffsets:
    """Commits offsets of a partition in the background; what goes wrong is logged once, and ends nothing."""

    def __init__(self, place: TopicPartition, group: str) -> None:
        self._place = place
        self._group = group
        self._last: int | None = None
        self._has_complained = False

    def commit(self, consumer: Consumer, offset: int) -> None:
        """Say that all before `offset` was read; does not wait."""
        if offset == self._last:
            return
        self._last = offset
        place = TopicPartition(self._place.topic, self._place.partition, offset)
        try:
            consumer.commit(offsets=[place], asynchronous=True)
        except KafkaException as exception:
            self.complain(exception.args[0])

    def committed(self, error: KafkaError | None, _places: list[TopicPartition]) -> None:
        """Hear what became of it: to be given to the consumer as `on_commit`."""
        if error is not None:
            self._last = None  # the next one tries again, though nothing new was read
            self.complain(error)

    def complain(self, error: KafkaError) -> None:
        """Log an error that does not pass by itself."""
        if error.code() not in TRANSIENT and not self._has_complained:
            self._has_complained = True
            log.warning(
                "offsets cannot be committed: lag tools see nothing of the flow, which goes on",
                group=self._group,
                topic=self._place.topic,
                error=f"{error.str()} ({error.name()})",
                advice="let MEMEWAX_KAFKA_GROUP name a group that it may use, or nothing",
            )

"""Commit offsets to a consumer group, only for monitoring its lag: a flow resumes from its own snapshots."""

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from connectors.kafka.kafka_client import TRANSIENT
from core.telemetry import log


class GroupOffsets:
    """Commits offsets of a partition in the background; a failure is logged once and does not end the flow."""

    def __init__(self, place: TopicPartition, group: str) -> None:
        self._place = place
        self._group = group
        self._last: int | None = None
        self._has_warned = False

    def commit(self, consumer: Consumer, offset: int) -> None:
        """Commit that everything before `offset` was read; does not wait."""
        if offset == self._last:
            return
        self._last = offset
        place = TopicPartition(self._place.topic, self._place.partition, offset)
        try:
            consumer.commit(offsets=[place], asynchronous=True)
        except KafkaException as exception:
            self.complain(exception.args[0])

    def committed(self, error: KafkaError | None, _places: list[TopicPartition]) -> None:
        """Handle the result of a commit; pass this method to the consumer as `on_commit`."""
        if error is not None:
            self._last = None  # so that the next commit retries, even of the same offset
            self.complain(error)

    def complain(self, error: KafkaError) -> None:
        """Log the first error that is not transient."""
        if error.code() not in TRANSIENT and not self._has_warned:
            self._has_warned = True
            log.warning(
                "cannot commit offsets: the flow continues, but monitoring tools do not see its lag",
                group=self._group,
                topic=self._place.topic,
                error=f"{error.str()} ({error.name()})",
                advice="set MEMEWAX_KAFKA_GROUP to a group that the flow may use, or to nothing",
            )

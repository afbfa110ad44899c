"""The producer of a Kafka sink."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer

from connectors.kafka.kafka_client import UNDELIVERED, Health, bad_config, call_with_retries, world_error
from connectors.sinks.sink import OutMessage
from core.telemetry import log

_CREATED_SECONDS: Final = 5.0
_CLOSE_SECONDS: Final = 2.0


class KafkaWriter:
    """A producer that remembers failed deliveries, and raises them at the next check."""

    def __init__(self, topics: Sequence[str], brokers: str, config: Mapping[str, Any], timeout: float) -> None:
        self._topics = topics
        self._timeout = timeout
        self._doing = f"writing to topic {', '.join(topics)}"
        self._health = Health(brokers)
        self._undelivered: KafkaError | None = None
        try:
            # Callbacks only for failures: one per message would cost as much as producing the message.
            own = {"error_cb": self._health, "on_delivery": self._failed, "delivery.report.only.error": True}
            self._producer = Producer({**config, **own})
        except KafkaException as exception:
            raise bad_config(exception) from exception
        for topic in topics:
            self._find(topic)

    @property
    def broken(self) -> bool:
        """Return whether a delivery failed, so that a new run needs a new writer."""
        return self._undelivered is not None or self._health.fatal is not None

    def write(self, message: OutMessage) -> None:
        """Queue a message; blocks while the queue is full."""
        while True:
            try:
                self._producer.produce(
                    message.topic or self._topics[0], message.value, message.key, headers=list(message.headers)
                )
            except BufferError:
                self._producer.poll(0.1)
                self._raise_on_failure()
            except KafkaException as exception:
                raise world_error(self._doing, self._health.brokers, exception.args[0]) from exception
            else:
                return

    def check(self) -> None:
        """Process delivery reports; raises `WorldError` if a delivery failed."""
        self._producer.poll(0)
        self._raise_on_failure()

    def flush(self) -> None:
        """Wait until everything is delivered; raises `WorldError` if a delivery failed."""
        # librdkafka gives up each message after the timeout by itself; wait a little longer for its report.
        left = self._producer.flush(self._timeout + 5)
        self._raise_on_failure()
        if left:
            error = KafkaError(UNDELIVERED, f"{left} messages undelivered")
            raise world_error(self._doing, self._health.brokers, error)
        self._health.answered()

    def close(self) -> None:
        """Flush briefly what is still queued, for example after an error elsewhere; the next run writes it again.

        Never raises: Bytewax closes sinks while it handles an error, and aborts the process on a second one.
        """
        if not self.broken and self._producer.flush(min(self._timeout, _CLOSE_SECONDS)):
            log.warning("kafka messages undelivered", topics=list(self._topics), messages=len(self._producer))

    def _find(self, topic: str) -> None:
        deadline = time.monotonic() + min(self._timeout, _CREATED_SECONDS)

        def look(left: float) -> None:
            while True:
                error = self._producer.list_topics(topic, timeout=left).topics[topic].error
                if error is None:
                    return
                # A broker that creates topics automatically responds "unknown" at first.
                if error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART or time.monotonic() > deadline:
                    raise KafkaException(error)
                time.sleep(0.1)

        call_with_retries(self._producer, self._health, self._doing, look, self._timeout)

    def _failed(self, error: KafkaError | None, _: object) -> None:
        if error is not None and self._undelivered is None:
            self._undelivered = error

    def _raise_on_failure(self) -> None:
        self._health.check(self._doing)
        if self._undelivered is not None:
            raise world_error(self._doing, self._health.brokers, self._undelivered)

"""A sink of messages to Kafka topics; each is delivered before the snapshot of its epoch."""

import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from connectors.kafka.kafka_client import base_config
from connectors.kafka.topic_writer import KafkaWriter
from connectors.sinks.sink import Mark, MessageSink, OutMessage, Writer, cut_to_fit
from core.errors import SettingsError, WorldError

_PARTS: Final = 8
"""Number of partitions; fixed, since Bytewax keeps state by their names. Processes beyond the eighth write nothing."""
_DEFAULT_MAX_BYTES: Final = 1_000_000


class KafkaSink(MessageSink):
    """Writes messages at least once; messages with the same key keep their order.

    Kafka would reject a message larger than `max_bytes` for ever. So a flow calls `fits` before the sink and turns
    oversized messages into dead letters; one that arrives here nevertheless raises `WorldError`. The topic of dead
    letters has no such way out: with `oversize="cut"`, messages are cut to fit (`cut_to_fit`), and headers say what was
    cut.

    Args:
        brokers: `HOST:PORT`, more after commas.
        topics: Their names; created if the broker creates topics automatically. The first is the default of messages.
        config: librdkafka properties.
        timeout: Seconds to deliver a message, including the time that the broker is down.
        oversize: What to do with a message larger than `max_bytes`.
    """

    has_headers = True

    def __init__(
        self,
        brokers: str,
        *topics: str,
        config: Mapping[str, str],
        timeout: float,
        oversize: Literal["raise", "cut"] = "raise",
    ) -> None:
        self.topics = topics
        self.max_bytes: int = max_bytes_of(config)
        """librdkafka's `message.max.bytes`, whose default is slightly below that of Kafka's topics."""
        self._brokers = brokers
        self._oversize = oversize
        self._timeout = timeout
        self._lock = threading.Lock()
        self._writer: KafkaWriter | None = None
        self._config = {
            "linger.ms": 5,
            "partitioner": "murmur2_random",
            "queue.buffering.max.kbytes": 65_536,  # the default is 1 GB
            **base_config(brokers, config, timeout),
            "acks": "all",
            "enable.idempotence": True,
            "delivery.timeout.ms": max(1_000, round(timeout * 1000)),
        }

    def check(self) -> None:
        """Raise `WorldError` if the broker or a topic is missing, `SettingsError` if a property is invalid.

        Call it before a flow starts, since Bytewax opens a partition only when its first item arrives.
        """
        KafkaWriter(self.topics, self._brokers, self._config, self._timeout)

    def parts(self) -> list[str]:
        """Return the partitions, the same for any number of processes."""
        return [str(part) for part in range(_PARTS)]

    def open(self, part: str, mark: Mark) -> "KafkaPartWriter":  # noqa: ARG002 - a topic needs no state
        """Open a writer; raises `WorldError` if the broker or a topic is missing."""
        with self._lock:  # worker threads open partitions concurrently
            if self._writer is None or self._writer.broken:
                self._writer = KafkaWriter(self.topics, self._brokers, self._config, self._timeout)
            return KafkaPartWriter(self._writer, self._fit)

    def _fit(self, message: OutMessage) -> OutMessage:
        if message.size <= self.max_bytes:
            return message
        if self._oversize == "raise":
            topic = message.topic or self.topics[0]
            raise WorldError(
                f"a message of {message.size} bytes for topic {topic} (key {message.key!r}) "
                f"exceeds the limit of {self.max_bytes}: raise message.max.bytes in MEMEWAX_KAFKA and the topic's "
                "max.message.bytes"
            )
        return cut_to_fit(message, self.max_bytes)


class KafkaPartWriter(Writer[OutMessage]):
    """Writer of one partition of a sink; all in a process share a producer."""

    def __init__(self, writer: KafkaWriter, fit: Callable[[OutMessage], OutMessage]) -> None:
        self._writer = writer
        self._fit = fit

    def write(self, items: list[OutMessage]) -> None:
        """Queue messages; raises `WorldError` if an earlier delivery failed."""
        for message in items:
            self._writer.write(self._fit(message))
        self._writer.check()

    def snapshot(self) -> None:
        """Wait until everything is delivered, or raise `WorldError`; after that, Bytewax counts it as written.

        Bytewax calls this at the end of each epoch in which the partition had items, with or without recovery.
        """
        self._writer.flush()

    def close(self) -> None:
        """Close the producer; after the last snapshot nothing is left to deliver."""
        self._writer.close()


def max_bytes_of(config: Mapping[str, Any]) -> int:
    """Return the maximum message size of a producer; raises `SettingsError` if it is not a number."""
    value = config.get("message.max.bytes", _DEFAULT_MAX_BYTES)
    try:
        return int(value)
    except (TypeError, ValueError):
        raise SettingsError(f"MEMEWAX_KAFKA: message.max.bytes is {value!r}: expected a number of bytes") from None

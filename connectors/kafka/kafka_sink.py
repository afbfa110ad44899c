"""Messages into Kafka topics, each delivered before the epoch that it belongs to is snapshot."""

import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from connectors.kafka.kafka_client import base_config
from connectors.kafka.topic_writer import KafkaWriter
from connectors.sinks.sink import Mark, MessageSink, OutMessage, Writer, cut_to_fit
from core.errors import SettingsError, WorldError

_PARTS: Final = 8
"""Writers of a flow; fixed, since Bytewax keeps state by their names. Processes beyond the eighth write nothing."""
_DEFAULT_MAX_BYTES: Final = 1_000_000


class KafkaSink(MessageSink):
    """Writes messages, at least once; those of one key keep their order.

    A message larger than `max_bytes` would be refused for ever. So a flow asks `fits` before the sink and makes a dead
    letter of what is too large; one that comes here all the same is a `WorldError`. A topic of dead
    letters has no such way out: with `oversize="cut"` it is cut to fit (`cut_to_fit`), and headers say what was cut.

    Args:
        brokers: `HOST:PORT`, more after commas.
        topics: Their names; created where the broker does that by itself. A message that names none is for the first.
        config: librdkafka properties.
        timeout: Seconds that a message may take to be delivered, the broker being away included.
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
        """librdkafka's `message.max.bytes`; its default lies a little below the default of Kafka's topics."""
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
        """Raise `WorldError` where broker or topic is not there, `SettingsError` where a property is wrong.

        To be called before a flow starts: Bytewax opens a part only when the first item for it has come.
        """
        KafkaWriter(self.topics, self._brokers, self._config, self._timeout)

    def parts(self) -> list[str]:
        """The same parts for any number of processes."""
        return [str(part) for part in range(_PARTS)]

    def open(self, part: str, mark: Mark) -> "KafkaPartWriter":  # noqa: ARG002 - nothing is kept of a topic
        """Begin to write; raises `WorldError` where broker or topic is not there."""
        with self._lock:  # workers that are threads open their parts at the same time
            if self._writer is None or self._writer.broken:
                self._writer = KafkaWriter(self.topics, self._brokers, self._config, self._timeout)
            return KafkaPartWriter(self._writer, self._fit)

    def _fit(self, message: OutMessage) -> OutMessage:
        if message.size <= self.max_bytes:
            return message
        if self._oversize == "raise":
            topic = message.topic or self.topics[0]
            raise WorldError(
                f"a message of {message.size} bytes for topic {topic} (key {message.key!r}) is "
                f"over the limit of {self.max_bytes}: raise message.max.bytes in MEMEWAX_KAFKA and the topic's "
                "max.message.bytes"
            )
        return cut_to_fit(message, self.max_bytes)


class KafkaPartWriter(Writer[OutMessage]):
    """One of the parts of a flow's output; those of one process share a producer."""

    def __init__(self, writer: KafkaWriter, fit: Callable[[OutMessage], OutMessage]) -> None:
        self._writer = writer
        self._fit = fit

    def write(self, items: list[OutMessage]) -> None:
        """Hand over messages; raises `WorldError` where one handed over before could not be delivered."""
        for message in items:
            self._writer.write(self._fit(message))
        self._writer.check()

    def snapshot(self) -> None:
        """Wait until all is delivered, or raise `WorldError`: Bytewax then takes it for written.

        It does so at the end of each epoch in which the part had something to write, recovery or not.
        """
        self._writer.flush()

    def close(self) -> None:
        """Let go; after the last snapshot nothing is left to deliver."""
        self._writer.close()


def max_bytes_of(config: Mapping[str, Any]) -> int:
    """The largest message of a producer; raises `SettingsError` where the setting is no number."""
    value = config.get("message.max.bytes", _DEFAULT_MAX_BYTES)
    try:
        return int(value)
    except (TypeError, ValueError):
        raise SettingsError(f"MEMEWAX_KAFKA: message.max.bytes is {value!r}: expected a number of bytes") from None

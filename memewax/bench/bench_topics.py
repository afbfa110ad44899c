"""Temporary Kafka topics of a benchmark."""

import time
import uuid
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Final, Self

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from core.errors import WorldError

_PARTITIONS: Final = 2
_SECONDS: Final = 30.0
_TICK: Final = 0.05


class Topics:
    """Temporary topics on one Kafka broker, deleted at the end of the block."""

    def __init__(self, brokers: str) -> None:
        self.brokers = brokers
        self._admin = AdminClient({"bootstrap.servers": brokers})
        self._names: list[str] = []

    def __enter__(self) -> Self:
        try:
            self._admin.list_topics(timeout=_SECONDS)
        except KafkaException as error:
            raise WorldError(f"no Kafka broker at {self.brokers}: {error.args[0].str()}") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._names:
            return
        for future in self._admin.delete_topics(self._names).values():
            future.exception(_SECONDS)

    def address(self, topic: str) -> str:
        """Return the address of a topic for the settings."""
        return f"kafka://{self.brokers}/{topic}"

    def create(self) -> str:
        """Create an empty topic and return its name; raises `WorldError` if the broker does not serve it in time."""
        name = f"memewax-bench-{uuid.uuid4().hex[:12]}"
        self._admin.create_topics([NewTopic(name, _PARTITIONS)])[name].result(_SECONDS)
        self._names.append(name)
        deadline = time.monotonic() + _SECONDS
        while not self._is_served(name):  # the controller knows the topic before the broker serves it
            if time.monotonic() > deadline:
                raise WorldError(f"the broker at {self.brokers} did not serve a new topic within {_SECONDS:g} s")
            time.sleep(_TICK)
        return name

    def _is_served(self, name: str) -> bool:
        found = self._admin.list_topics(timeout=_SECONDS).topics.get(name)
        return found is not None and found.error is None and len(found.partitions) == _PARTITIONS

    def create_filled(self, values: Iterable[bytes]) -> str:
        """Create a topic and return its name, after producing `values` to its partitions in turns.

        Without a key the producer sends all that comes within milliseconds to one partition, which one process reads.
        Raises `WorldError` on a timeout.
        """
        name = self.create()
        producer = Producer(
            {"bootstrap.servers": self.brokers, "linger.ms": 50, "queue.buffering.max.messages": 1_000_000}
        )
        for number, value in enumerate(values):
            producer.produce(name, value, partition=number % _PARTITIONS)
            producer.poll(0)
        if producer.flush(_SECONDS):
            raise WorldError(f"the broker at {self.brokers} did not accept the posts within {_SECONDS:g} s")
        return name

    def values(self, topic: str) -> Iterator[bytes]:
        """Yield the values of all messages of a topic, up to its current end; raises `WorldError` on a timeout."""
        consumer = Consumer(
            {"bootstrap.servers": self.brokers, "group.id": "memewax-bench", "enable.auto.commit": False}
        )
        for partition in range(_PARTITIONS):
            start = TopicPartition(topic, partition, 0)
            _, end = consumer.get_watermark_offsets(start, timeout=_SECONDS)
            consumer.assign([start])
            seen = 0
            while seen < end:
                messages = consumer.consume(
                    min(1000, end - seen), timeout=_SECONDS
                )  # blocks until this many or the timeout
                if not messages:
                    raise WorldError(f"the broker at {self.brokers} returned no messages for {_SECONDS:g} s")
                for message in messages:
                    if message.error() is None:
                        seen += 1
                        yield message.value() or b""
        consumer.close()

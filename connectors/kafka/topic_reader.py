"""Reads one partition of a Kafka topic."""

import time
from typing import Final, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as Received

from connectors.kafka.group_offsets import GroupOffsets
from connectors.kafka.kafka_client import (
    END_OF_PARTITION,
    OFFSET_LOST,
    TRANSIENT,
    Health,
    ask,
    close_consumer,
    world_error,
)
from connectors.sources.removal_form import tombstone
from connectors.sources.source import Live, Position, Reader, Unit
from core.errors import WorldError
from core.records import Message
from core.telemetry import log

_VERSION: Final = 1
_PROBE_SECONDS: Final = 5.0


class KafkaReader(Reader):
    """Reads one partition with a consumer of its own.

    While the broker is away, `read` has nothing; after `timeout` seconds it raises `WorldError`. Reading waits only
    where it has to ask a broker: one that has been silent for as long, or that no longer keeps what comes next.

    A message with a key and no value is one that deletes what has the key.
    """

    def __init__(
        self,
        consumer: Consumer,
        health: Health,
        place: TopicPartition,
        batch: int,
        timeout: float,
        offsets: GroupOffsets | None = None,
    ) -> None:
        self._offsets = offsets
        self._consumer = consumer
        self._health = health
        self._place = place
        self._batch = batch
        self._timeout = timeout
        self._doing = f"reading topic {place.topic}, partition {place.partition},"
        self._origin = f"kafka:{place.topic}/{place.partition}@"
        self._next = 0
        self._end: int | None = None
        self._silent_since: float | None = None
        self._closed = False

    def start(self, resume: Position | None, *, follow: bool) -> None:
        """Begin where `resume` says, or at the partition's start; raises `WorldError` as `KafkaTopic.open` says."""
        offset = None if resume is None else _offset(resume)
        low, high = self._ask_watermarks()
        self._seek(low if offset is None else offset, low, high)
        self._end = None if follow else high

    def read(self) -> Unit | None:
        """The next messages that have arrived, or None; raises `WorldError` on what does not pass by itself."""
        received = self._consumer.consume(self._batch, 0)
        self._health.check(self._doing)
        if not received:
            self._nothing_came()
            return None
        messages = []
        for one in received:
            error = one.error()
            if error is None:
                offset = cast("int", one.offset())
                value, key, headers = one.value(), one.key(), one.headers()
                if value is None and key:
                    value = tombstone(key, one.timestamp()[1] if one.timestamp()[0] else None)
                messages.append(
                    Message(
                        b"" if value is None else value,  # whoever parses it says what is wrong
                        f"{self._origin}{offset}",
                        key,
                        tuple(cast("list[tuple[str, bytes | None]]", headers)) if headers else (),
                    )
                )
                self._next = offset + 1
            else:
                self._take_note(error, one)
        self._silent_since = None
        if not messages:
            return None
        self._health.answered()
        kind, milliseconds = received[-1].timestamp()
        live = Live("kafka", milliseconds / 1000) if kind and received[-1].error() is None else None
        return Unit(messages, {"version": _VERSION, "offset": self._next}, live=live)

    @property
    def ended(self) -> bool:
        """Whether the end that the partition had at the start has been reached; never where it is followed."""
        return self._end is not None and self._next >= self._end

    def lag(self) -> int:
        """Messages between the position and the newest that the last answer of the broker spoke of."""
        if self._closed:
            return 0
        _, high = self._consumer.get_watermark_offsets(self._place, cached=True)
        return max(0, high - self._next)

    def passed(self, position: Position) -> None:
        """Commit the position, for whoever watches the consumer group."""
        if self._offsets is not None and not self._closed:
            self._offsets.commit(self._consumer, _offset(position))

    def close(self) -> None:
        """Close the connections; what was committed is sent before, where a broker takes it in time."""
        self._closed = True
        close_consumer(self._consumer, self._timeout)

    def _take_note(self, error: KafkaError, at: Received) -> None:
        code = error.code()
        if code == END_OF_PARTITION:
            # Beyond the last message may lie transaction markers, or what compaction has removed.
            self._next = max(self._next, at.offset() or 0)
            self._health.answered()
        elif code in TRANSIENT:
            self._health(error)
        elif code == KafkaError.GROUP_AUTHORIZATION_FAILED:  # reading needs no group
            if self._offsets is not None:
                self._offsets.complain(error)
        elif code == OFFSET_LOST:
            self._consumer.unassign()
            self._seek(self._next, *self._ask_watermarks())
        else:
            raise world_error(self._doing, self._health.brokers, error)

    def _seek(self, offset: int, low: int, high: int) -> None:
        if offset < low:
            log.warning("topic no longer keeps unread messages", origin=f"{self._origin}{offset}", gone=low - offset)
            offset = low
        elif offset > high:
            raise WorldError(
                f"{self._origin}{offset} was to be read next, and the partition ends at {high}: the topic has been "
                "made anew or has lost messages; use a new recovery folder to read it from its start"
            )
        self._next = offset
        self._consumer.assign([TopicPartition(self._place.topic, self._place.partition, offset)])

    def _nothing_came(self) -> None:
        """Ask the broker whether it is still there, where it has been silent for the whole timeout."""
        now = time.monotonic()
        if self._silent_since is None:
            self._silent_since = now
        if now - max(self._silent_since, self._health.away_since or 0.0) < self._timeout:
            return
        try:
            self._watermarks(min(_PROBE_SECONDS, self._timeout))
        except KafkaException as exception:
            error: KafkaError = exception.args[0]
            # Away only from now on, where no error had been reported before: it has the whole timeout to come back.
            if error.code() not in TRANSIENT:
                raise world_error(self._doing, self._health.brokers, error) from exception
            if self._health.away_error is not None:
                raise world_error(self._doing, self._health.brokers, self._health.away_error) from exception
            self._health(error)
        else:
            self._health.answered()
            self._silent_since = None

    def _ask_watermarks(self) -> tuple[int, int]:
        return ask(self._consumer, self._health, self._doing, self._watermarks, self._timeout)

    def _watermarks(self, timeout: float) -> tuple[int, int]:
        return self._consumer.get_watermark_offsets(self._place, timeout=timeout)


def _offset(resume: Position) -> int:
    version = resume.get("version")
    if version != _VERSION:
        raise WorldError(
            f"the recovery folder holds a topic position of version {version}, and this memewax reads {_VERSION}: "
            "use the memewax that wrote it, or a new recovery folder"
        )
    return int(resume["offset"])

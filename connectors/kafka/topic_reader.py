"""Reader of one partition of a Kafka topic."""

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
    call_with_retries,
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
    """Reads one partition with its own consumer.

    While the broker is down, `read` returns None; after `timeout` seconds it raises `WorldError`. It waits only when it
    must query the broker: after that time without messages, or if the next offset is no longer retained.

    A message with a key and no value is a tombstone, which deletes what has the key.
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
        """Seek to `resume`, or to the partition's start; raises the errors of `KafkaTopic.open`."""
        offset = None if resume is None else _offset(resume)
        low, high = self._ask_watermarks()
        self._seek(low if offset is None else offset, low, high)
        self._end = None if follow else high

    def read(self) -> Unit | None:
        """Return the next messages that have arrived, or None; raises `WorldError` on errors that are not transient."""
        received = self._consumer.consume(self._batch, 0)
        self._health.check(self._doing)
        if not received:
            self._check_silence()
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
                        b"" if value is None else value,  # parsing reports the error
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
        """Return whether the end offset at the start was reached; never true if the topic is followed."""
        return self._end is not None and self._next >= self._end

    def lag(self) -> int:
        """Return the number of messages up to the high watermark of the broker's last response."""
        if self._closed:
            return 0
        _, high = self._consumer.get_watermark_offsets(self._place, cached=True)
        return max(0, high - self._next)

    def epoch_ended(self, position: Position) -> None:
        """Commit the position to the consumer group, for monitoring."""
        if self._offsets is not None and not self._closed:
            self._offsets.commit(self._consumer, _offset(position))

    def close(self) -> None:
        """Close the consumer, after commits in flight if a broker accepts them in time."""
        self._closed = True
        close_consumer(self._consumer, self._timeout)

    def _take_note(self, error: KafkaError, at: Received) -> None:
        code = error.code()
        if code == END_OF_PARTITION:
            # Transaction markers or compacted messages may follow the last message.
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
                f"{self._origin}{offset} is the next offset, but the partition ends at {high}: the topic was "
                "recreated or has lost messages; use a new recovery folder to read it from its start"
            )
        self._next = offset
        self._consumer.assign([TopicPartition(self._place.topic, self._place.partition, offset)])

    def _check_silence(self) -> None:
        """Probe the broker if nothing has arrived for the whole timeout."""
        now = time.monotonic()
        if self._silent_since is None:
            self._silent_since = now
        if now - max(self._silent_since, self._health.away_since or 0.0) < self._timeout:
            return
        try:
            self._watermarks(min(_PROBE_SECONDS, self._timeout))
        except KafkaException as exception:
            error: KafkaError = exception.args[0]
            # If no error was reported before, the broker counts as down from now on, with the whole timeout to return.
            if error.code() not in TRANSIENT:
                raise world_error(self._doing, self._health.brokers, error) from exception
            if self._health.away_error is not None:
                raise world_error(self._doing, self._health.brokers, self._health.away_error) from exception
            self._health(error)
        else:
            self._health.answered()
            self._silent_since = None

    def _ask_watermarks(self) -> tuple[int, int]:
        return call_with_retries(self._consumer, self._health, self._doing, self._watermarks, self._timeout)

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

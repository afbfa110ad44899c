"""A Bytewax source of unparsed messages, one batch of the reader at a time."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from connectors.sources.source import Position, Reader, Source
from core import drain
from core.records import Message
from operators.steps import reported

_IDLE: Final = timedelta(milliseconds=2)
"""Adds to the latency of an answer; polling one partition takes some 10 µs."""


class MessageSource(FixedPartitionedSource[Message, dict[str, Any]]):
    """Reads `source`; an idle flow gets each message at once, a busy one all that arrived (one batch a partition)."""

    def __init__(self, source: Source, should_stop: Callable[[], bool] = drain.is_stop_requested) -> None:
        self._source = source
        self._should_stop = should_stop

    @reported
    def list_parts(self) -> list[str]:
        """List the partitions of the source; any worker can read any of them."""
        return self._source.parts()

    @reported
    def build_part(self, step_id: str, for_part: str, resume_state: dict[str, Any] | None) -> "_Part":  # noqa: ARG002
        """Open one partition."""
        position = resume_state["position"] if resume_state else None
        return _Part(self._source.open(for_part, position), position, self._should_stop)


class _Part(StatefulSourcePartition[Message, dict[str, Any]]):
    def __init__(self, reader: Reader, position: Position | None, should_stop: Callable[[], bool]) -> None:
        self._reader = reader
        self._should_stop = should_stop
        self._position = position
        self._awake: datetime | None = None

    @reported
    def next_batch(self) -> list[Message]:
        if self._should_stop():
            raise StopIteration
        unit = self._reader.read()
        if unit is None:
            if self._reader.ended:
                raise StopIteration
            self._awake = datetime.now(UTC) + _IDLE
            return []
        self._awake = None
        self._position = unit.resume
        return unit.messages

    def next_awake(self) -> datetime | None:
        return self._awake

    @reported
    def snapshot(self) -> dict[str, Any]:
        if self._position is not None:
            self._reader.epoch_ended(self._position)
        return {"version": 1, "position": self._position}

    @reported
    def close(self) -> None:
        self._reader.close()

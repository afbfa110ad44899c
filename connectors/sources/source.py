"""Interfaces of sources: a source has partitions ("parts"), read in units; reading can resume after each unit.

The set of partitions must not depend on the number of processes, or rescaling would lose their positions.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from core.errors import WorldError
from core.records import Message

Position = dict[str, Any]
"""Where to resume reading: plain values with a `version`, since it is pickled and outlives this code."""


class Live(NamedTuple):
    """Age of a unit of a live stream, for its watermark and for load shedding."""

    service: str
    """Label of metrics."""
    time: float
    """Creation time of the newest message, in seconds since 1970."""
    is_left_out: bool = False
    """Whether load shedding dropped its posts since they were too old."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A batch of messages, and the position after it; without messages, only the position has advanced."""

    messages: list[Message]
    resume: Position
    turn: int | None = None
    """Place in the order of the whole source; None if its partitions are unordered."""
    live: Live | None = None


class Reader(ABC):
    """Reads one partition of a source, ahead of the dataflow."""

    @abstractmethod
    def read(self) -> Unit | None:
        """Return the next unit, or None if there is none at the moment; does not wait."""

    @property
    @abstractmethod
    def ended(self) -> bool:
        """Return whether the partition has ended for good; never true while it is followed."""

    @property
    def turn(self) -> int | None:
        """Return the turn of the next unit."""
        return None

    def lag(self) -> int:
        """Return how much is left to read: messages of a topic, bytes of a file."""
        return 0

    def epoch_ended(self, position: Position) -> None:  # noqa: B027 - most sources report no progress
        """Report to the source that an epoch has ended at this position, for example to show a consumer group's lag.

        The snapshot of the epoch may not be durable yet, so do not resume from this position. Does not wait.
        """

    @abstractmethod
    def close(self) -> None:
        """Release all resources."""


class ReaderAround(Reader):
    """Base of readers that change the units of an inner reader."""

    def __init__(self, inner: Reader) -> None:
        self._inner = inner

    @property
    def ended(self) -> bool:
        """Return whether the inner reader has ended."""
        return self._inner.ended

    @property
    def turn(self) -> int | None:
        """Return the inner reader's turn."""
        return self._inner.turn

    def lag(self) -> int:
        """Return the inner reader's lag."""
        return self._inner.lag()

    def epoch_ended(self, position: Position) -> None:
        """Report to the inner reader."""
        self._inner.epoch_ended(position)

    def close(self) -> None:
        """Close the inner reader."""
        self._inner.close()


def check_version(position: Position, version: int, what: str) -> None:
    """Raise `WorldError` if a position in a recovery folder has an unsupported version.

    Args:
        position: The position.
        version: The supported version.
        what: Description of the position for the error message, such as `the position of bluesky`.
    """
    if position.get("version") != version:
        raise WorldError(
            f"the recovery folder holds {what} in version {position.get('version')}, and this memewax reads version "
            f"{version}: use the memewax that wrote it, or a new recovery folder"
        )


class Source(ABC):
    """A source of messages, in partitions."""

    @abstractmethod
    def parts(self) -> list[str]:
        """Return the names of all partitions; raises `WorldError` if the source does not exist."""

    @abstractmethod
    def open(self, part: str, resume: Position | None) -> Reader:
        """Read `part` from its start or from `resume`."""


class PlacedSource(Source):
    """A source whose positions survive a move of its files."""

    @abstractmethod
    def places(self) -> "Sequence[Place]":
        """Return its places, each with positions of its own; raises `WorldError` if the source does not exist."""


class Place(ABC):
    """A file, folder of images, topic or stream that positions belong to, even after it was moved.

    Positions are stored under the name that the place has when it is first read; a moved place keeps it.
    """

    name: str
    """Unique among places; must not end in `#` and a number."""

    def check(self) -> None:  # noqa: B027 - most places cannot check that
        """Raise `WorldError` if the place clearly contains no posts; called before a flow begins."""

    @abstractmethod
    def owns_positions(self, positions: Sequence[Position]) -> bool | None:
        """Return whether positions belong to the contents of this place; None if unknown."""

    @abstractmethod
    def was_called(self, name: str, positions: Sequence[Position]) -> bool:
        """Return whether this place was called `name` before it was moved."""

    @abstractmethod
    def part_numbers(self, positions: Sequence[Position]) -> Iterable[int]:
        """Return the numbers of its partitions, given the positions that reading resumes from, if any."""

    @abstractmethod
    def open(self, number: int, resume: Position | None, positions: Sequence[Position]) -> Reader:
        """Read a partition from its start or from `resume`; `positions` are those of all partitions of the place."""

    def merged_with(self, other: Self) -> "Place":  # noqa: ARG002
        """Merge this place with another one of the same name; by default both are the same."""
        return self

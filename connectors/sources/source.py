"""How messages are read: a source has parts, a part is read in units, and after each unit it can be resumed.

The set of parts must not change with the number of processes, or rescaling would lose their offsets.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from core.errors import WorldError
from core.records import Message

Position = dict[str, Any]
"""Where to go on reading: plain values with a `version`, since it is pickled and outlives code."""


class Live(NamedTuple):
    """What is known of messages of a live stream."""

    service: str
    """As metrics name it."""
    time: float
    """When the newest came to be, in seconds since 1970."""
    is_left_out: bool = False
    """Whether the posts among them were too old to be read."""


@dataclass(frozen=True, slots=True)
class Unit:
    """Messages that go through the flow together, and where to go on after them; without any, only that has moved."""

    messages: list[Message]
    resume: Position
    turn: int | None = None
    """Place in the order of the whole source; None where parts have no order among them."""
    live: Live | None = None


class Reader(ABC):
    """Reads one part of a source, ahead of what the flow has handled."""

    @abstractmethod
    def read(self) -> Unit | None:
        """The next unit, or None where there is nothing just now. Does not wait."""

    @property
    @abstractmethod
    def ended(self) -> bool:
        """Whether the part has come to its end for good; never so where it is followed."""

    @property
    def turn(self) -> int | None:
        """The turn of the next unit."""
        return None

    def lag(self) -> int:
        """How much is left to read: messages of a topic, bytes of a file."""
        return 0

    def passed(self, position: Position) -> None:  # noqa: B027 - most sources tell nobody
        """Hear that an epoch has ended at this position, so that whoever watches the source may be told.

        The snapshot of the epoch may not be durable yet, so this is nothing to go on from. Does not wait.
        """

    @abstractmethod
    def close(self) -> None:
        """Give back what it holds."""


class ReaderAround(Reader):
    """A reader that gives what another one reads, changed."""

    def __init__(self, inner: Reader) -> None:
        self._inner = inner

    @property
    def ended(self) -> bool:
        """As the inner one."""
        return self._inner.ended

    @property
    def turn(self) -> int | None:
        """As the inner one's."""
        return self._inner.turn

    def lag(self) -> int:
        """As the inner one's."""
        return self._inner.lag()

    def passed(self, position: Position) -> None:
        """Tell the inner one."""
        self._inner.passed(position)

    def close(self) -> None:
        """Close the inner one."""
        self._inner.close()


def check_version(position: Position, version: int, what: str) -> None:
    """Raise `WorldError` where a recovery folder holds a position of another version.

    Args:
        position: What it holds.
        version: Of the positions that are read here.
        what: Was done with what the position is of, as `seen` or `read of bluesky`.
    """
    if position.get("version") != version:
        raise WorldError(
            f"the recovery folder holds what was {what} in version {position.get('version')}, and this memewax reads "
            f"{version}: use the memewax that wrote it, or a new recovery folder"
        )


class Source(ABC):
    """Where messages come from, in parts."""

    @abstractmethod
    def parts(self) -> list[str]:
        """Names of all parts; raises `WorldError` where the source is not there."""

    @abstractmethod
    def open(self, part: str, resume: Position | None) -> Reader:
        """Read `part` from its start, or from where `resume` says."""


class PlacedSource(Source):
    """A source whose positions outlive where it lies."""

    @abstractmethod
    def places(self) -> "Sequence[Place]":
        """What has positions of its own; raises `WorldError` where the source is not there."""


class Place(ABC):
    """A file, a folder of images, a topic: what positions belong to, wherever it lies.

    Positions are kept under a name. It is the place's own when it is read first, and stays when the place has moved.
    """

    name: str
    """Unique among places, and without an end in `#` and a number."""

    def check(self) -> None:  # noqa: B027 - most places hold what they hold
        """Raise `WorldError` where what is here plainly holds no posts: before a flow begins."""

    @abstractmethod
    def knows(self, positions: Sequence[Position]) -> bool | None:
        """Whether positions belong to what is here; None where that cannot be told."""

    @abstractmethod
    def was(self, name: str, positions: Sequence[Position]) -> bool:
        """Whether this is what had the name, and has moved here since."""

    @abstractmethod
    def numbers(self, positions: Sequence[Position]) -> Iterable[int]:
        """Numbers of its parts; those positions, if there are any, are gone on from."""

    @abstractmethod
    def open(self, number: int, resume: Position | None, positions: Sequence[Position]) -> Reader:
        """Read a part from its start, or from where `resume` says; `positions` are of all its parts."""

    def joined(self, other: Self) -> "Place":  # noqa: ARG002
        """This and another one of the same name, as one: here the same, named twice."""
        return self

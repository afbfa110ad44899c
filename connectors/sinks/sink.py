"""How rows and messages are written: a sink has parts, and a part is written from where a snapshot says.

The twin of `connectors.sources.source`. A sink takes rows of a table (`Sink[TableItem]`) or messages (`MessageSink`).
A new one is a module with a `Sink`, a `Writer` and an `Endpoint`, and a line in `connectors.endpoints`;
`operators.steps.write` hands it to Bytewax.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Final, Generic, NamedTuple, TypeVar
from zlib import crc32

Mark = dict[str, Any] | None
"""Where to go on writing: plain values with a `version`, since it is pickled and outlives code; None: no place."""

Row = dict[str, Any]
"""Column to value: what JSON has, and float32 arrays for vectors."""


class Order(NamedTuple):
    """What the writer of a table is to do with it, after the rows before it and before those after it."""

    kind: str
    """A kind of request, as `connectors.control.request_kinds` declares it."""
    body: Mapping[str, Any]


TableItem = Row | Order
"""What goes into a table."""

Item = TypeVar("Item")

OVERHEAD: Final = 128
"""Bytes that a broker adds to a message sent alone, at most; a header adds up to ten more."""


class OutMessage(NamedTuple):
    """A message to be written; a file keeps its value alone, as a line."""

    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes | None], ...] = ()
    topic: str | None = None
    """One of the sink's; None: its first."""

    @property
    def size(self) -> int:
        """Bytes that count against a topic's `max.message.bytes`, uncompressed; rounded up."""
        size = OVERHEAD + len(self.value) + len(self.key or b"")
        for name, value in self.headers:
            size += 10 + len(name) + len(value or b"")
        return size


class Writer(ABC, Generic[Item]):
    """Writes one part of a sink."""

    @abstractmethod
    def write(self, items: list[Item]) -> None:
        """Take items in, in order; they may be written later. Raises `WorldError`, also for what failed meanwhile."""

    @abstractmethod
    def snapshot(self) -> Mark:
        """Make all that was taken in durable, and say where to go on after it; raises `WorldError`."""

    @abstractmethod
    def close(self) -> None:
        """Give back what it holds; never raises, since Bytewax closes while it handles another error."""


class Sink(ABC, Generic[Item]):
    """Where things are written, in parts."""

    @abstractmethod
    def check(self) -> None:
        """Raise `WorldError` where nothing can be written there: before a flow reads anything."""

    @abstractmethod
    def parts(self) -> list[str]:
        """Names of all parts, the same for any number of processes."""

    @abstractmethod
    def open(self, part: str, mark: Mark) -> Writer[Item]:
        """Write `part` anew, or from where `mark` says; raises `WorldError`."""

    def part_of(self, key: str) -> int:
        """The number of the part that items of `key` go to, modulo their count; the same in every process and run."""
        return crc32(key.encode())


class MessageSink(Sink[OutMessage]):
    """A sink of messages."""

    has_headers = False
    """Whether it keeps keys and headers; what is to be known of a message stands in its value otherwise."""
    max_bytes: int | None = None
    """A message of a larger `size` is not taken; None: any is."""

    def fits(self, message: OutMessage) -> bool:
        """Whether it takes a message of this size."""
        return self.max_bytes is None or message.size <= self.max_bytes

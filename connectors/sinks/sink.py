"""How rows and messages are written: a sink has parts, and a part is written from where a snapshot says.

The twin of `connectors.sources.source`. A sink takes rows of a table (`Sink[TableItem]`) or messages (`MessageSink`).
A new one is a module with a `Sink`, a `Writer` and an `Endpoint`, and a line in `connectors.endpoints`;
`operators.steps.write` hands it to Bytewax.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from itertools import count
from typing import Any, Final, Generic, NamedTuple, TypeVar
from zlib import crc32

from core.records import ClusterEvent, Removal, Thumbnail

Mark = dict[str, Any] | None
"""Where to go on writing: plain values with a `version`, since it is pickled and outlives code; None: no place."""

Row = dict[str, Any]
"""Column to value: what JSON has, and float32 arrays for vectors."""


class Order(NamedTuple):
    """What the writer of a table is to do with it, after the rows before it and before those after it."""

    kind: str
    """A kind of request, as `connectors.control.request_kinds` declares it."""
    body: Mapping[str, Any]


TableItem = Row | Order | ClusterEvent | Removal | Thumbnail
"""What goes into a table. What became of a cluster and what is taken back is for rows that are there and that come."""

Item = TypeVar("Item")

_OWN: Final = "memewax."
"""What headers of ours begin with."""
OVERHEAD: Final = 128
"""Bytes that a broker adds to a message sent alone, at most; a header adds up to ten more."""


class OutMessage(NamedTuple):
    """A message to be written; a file keeps its value alone, as a line."""

    key: bytes | None
    value: bytes | None
    """None: a tombstone, which deletes its key; for sinks that keep keys."""
    headers: tuple[tuple[str, bytes | None], ...] = ()
    topic: str | None = None
    """One of the sink's; None: its first."""

    @property
    def size(self) -> int:
        """Bytes that count against a topic's `max.message.bytes`, uncompressed; rounded up."""
        size = OVERHEAD + len(self.value or b"") + len(self.key or b"")
        for name, value in self.headers:
            size += 10 + len(name.encode()) + len(value or b"")
        return size


def cut_to_fit(message: OutMessage, max_bytes: int) -> OutMessage:
    """The message, or as much of it as a topic takes, with headers that say what was cut.

    Its own headers (`memewax.…`) stay, shortened at most; of a stranger's key and headers a quarter of the room each is
    kept; the value has the rest.
    """
    if message.size <= max_bytes:
        return message
    share = max_bytes // 4
    headers: list[tuple[str, bytes | None]] = []
    room, left_out = share, 0
    for name, value in message.headers:
        own = name.startswith(_OWN)
        size = 10 + len(name.encode()) + len(value or b"")
        if own:
            headers.append((name, value if value is None else value[: max(1, share // 8)]))
        elif size <= room:
            room -= size
            headers.append((name, value))
        else:
            left_out += 1
    if left_out:
        headers.append((f"{_OWN}headers-left-out", str(left_out).encode()))
    key = message.key
    if key is not None and len(key) > share:
        headers.append((f"{_OWN}key-bytes", str(len(key)).encode()))
        key = key[:share]
    cut = message._replace(key=key, headers=tuple(headers))
    if cut.size <= max_bytes or message.value is None:
        return cut
    headers.append((f"{_OWN}value-bytes", str(len(message.value)).encode()))
    bare = cut._replace(value=b"", headers=tuple(headers))
    while bare.size > max_bytes and bare.headers:  # a stranger's that call themselves ours stand before ours
        bare = bare._replace(headers=bare.headers[1:])
    return bare._replace(value=message.value[: max(0, max_bytes - bare.size)])


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

    def was(self, name: str, part: str, mark: Mark) -> bool:  # noqa: ARG002
        """Whether `part` is what had another name when `mark` was taken, and has moved since."""
        return False

    def part_of(self, key: str) -> int:
        """The number of the part that items of `key` go to, modulo their count; the same in every process and run."""
        return crc32(key.encode())

    def part_keys(self) -> list[str]:
        """A key of each part: what is written under all of them comes to every part."""
        parts = len(self.parts())
        found: dict[int, str] = {}
        for number in count():
            found.setdefault(self.part_of(str(number)) % parts, str(number))
            if len(found) == parts:
                break
        return list(found.values())


class MessageSink(Sink[OutMessage]):
    """A sink of messages."""

    has_headers = False
    """Whether it keeps keys and headers; what is to be known of a message stands in its value otherwise."""
    max_bytes: int | None = None
    """A message of a larger `size` is not taken; None: any is."""

    def fits(self, message: OutMessage) -> bool:
        """Whether it takes a message of this size."""
        return self.max_bytes is None or message.size <= self.max_bytes

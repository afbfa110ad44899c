"""Base classes of sinks of rows and messages, with partitions that resume from a snapshot.

The counterpart of `connectors.sources.source`. A sink takes rows of a table (`Sink[TableItem]`) or messages
(`MessageSink`). To add one, write a module with a `Sink`, a `Writer` and an `Endpoint`, and register it in
`connectors.endpoints`; `operators.steps.write` passes it to Bytewax.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from itertools import count
from typing import Any, Final, Generic, NamedTuple, TypeVar
from zlib import crc32

from core.records import ClusterEvent, Removal, Thumbnail

Mark = dict[str, Any] | None
"""State of a partition to resume from: plain values with a `version`, since pickles outlive code; None: no state."""

Row = dict[str, Any]
"""Values by column: those of JSON, and float32 arrays for vectors."""


class TableCommand(NamedTuple):
    """A command to the writer of a table, executed in order with the rows."""

    kind: str
    """A kind of request, as `connectors.control.request_kinds` declares it."""
    body: Mapping[str, Any]


TableItem = Row | TableCommand | ClusterEvent | Removal | Thumbnail
"""Input of a table. Cluster events and deletes apply to existing rows and to later ones."""

Item = TypeVar("Item")

_OWN: Final = "memewax."
"""Prefix of memewax's own headers."""
OVERHEAD: Final = 128
"""Maximum bytes that a broker adds to a message sent alone; each header adds up to 10 more."""


class OutMessage(NamedTuple):
    """A message to write; a file keeps only its value, as a line."""

    key: bytes | None
    value: bytes | None
    """None for a tombstone, which deletes its key, in sinks that keep keys."""
    headers: tuple[tuple[str, bytes | None], ...] = ()
    topic: str | None = None
    """One of the sink's topics; by default its first."""

    @property
    def size(self) -> int:
        """Return an upper bound of the bytes that count against a topic's `max.message.bytes`, uncompressed."""
        size = OVERHEAD + len(self.value or b"") + len(self.key or b"")
        for name, value in self.headers:
            size += 10 + len(name.encode()) + len(value or b"")
        return size


def cut_to_fit(message: OutMessage, max_bytes: int) -> OutMessage:
    """Truncate a message to `max_bytes`, with headers that tell what was cut.

    The headers of memewax (`memewax.…`) are kept, shortened if need be. The original key and headers get at most a
    quarter of the space each, and the value the rest.
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
    while bare.size > max_bytes and bare.headers:  # original headers that imitate ours come before ours
        bare = bare._replace(headers=bare.headers[1:])
    return bare._replace(value=message.value[: max(0, max_bytes - bare.size)])


class Writer(ABC, Generic[Item]):
    """Writer of one partition of a sink."""

    @abstractmethod
    def write(self, items: list[Item]) -> None:
        """Accept items in order, perhaps to write them later. Raises `WorldError`, also for earlier failures."""

    @abstractmethod
    def snapshot(self) -> Mark:
        """Make all accepted items durable, and return the mark to resume after them; raises `WorldError`."""

    @abstractmethod
    def close(self) -> None:
        """Release resources; never raises, since Bytewax closes while it handles another error."""


class Sink(ABC, Generic[Item]):
    """A sink with partitions."""

    @abstractmethod
    def check(self) -> None:
        """Raise `WorldError` if the sink cannot be written to, before a flow reads anything."""

    @abstractmethod
    def parts(self) -> list[str]:
        """Return the names of all partitions, the same for any number of processes."""

    @abstractmethod
    def open(self, part: str, mark: Mark) -> Writer[Item]:
        """Open a partition at `mark`, or at its start; raises `WorldError`."""

    def was_called(self, name: str, part: str, mark: Mark) -> bool:  # noqa: ARG002
        """Check whether `part` was called `name` when `mark` was taken, and has moved since."""
        return False

    def hash_of_key(self, key: str) -> int:
        """Hash a key; the hash modulo the number of partitions is its partition, the same in every process and run."""
        return crc32(key.encode())

    def part_keys(self) -> list[str]:
        """Return a key of each partition, to broadcast an item to all of them."""
        parts = len(self.parts())
        found: dict[int, str] = {}
        for number in count():
            found.setdefault(self.hash_of_key(str(number)) % parts, str(number))
            if len(found) == parts:
                break
        return list(found.values())


class MessageSink(Sink[OutMessage]):
    """A sink of messages."""

    has_headers = False
    """Whether it keeps keys and headers; otherwise the value must contain everything."""
    max_bytes: int | None = None
    """Maximum `size` of a message; None for no limit."""

    def fits(self, message: OutMessage) -> bool:
        """Check whether a message is within `max_bytes`."""
        return self.max_bytes is None or message.size <= self.max_bytes

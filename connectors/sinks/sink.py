"""How rows, lines and messages are written: a sink has parts, and a part is written from where a snapshot says.

The twin of `connectors.sources.source`. A new sink is one module with a `Sink` and a `Writer`, and a line in
`connectors.endpoints`; `operators.steps.write` hands it to Bytewax.
"""

from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar
from zlib import crc32

Mark = dict[str, Any] | None
"""Where to go on writing: plain values with a `version`, since it is pickled and outlives code; None: no place."""

Item = TypeVar("Item")


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

"""What an address names: where posts come from, or where things go.

A kind of endpoint says how its addresses are written, and makes the source and the sinks of one. It stands beside them,
with the group of settings that it needs, and is named in `connectors.endpoints`. What it reads or writes through is
imported only when it is made, since that may take a second.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Generic, Literal, Self, TypeVar

from connectors.sinks.sink import MessageSink, Sink, TableItem
from connectors.sources.source import PlacedSource
from core.columns import Table
from core.errors import SettingsError

if TYPE_CHECKING:
    from connectors.store.interface import Store

S = TypeVar("S")
"""The group of settings that a kind needs."""


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How a source is read."""

    batch: int
    """Messages that go through the flow together, at most."""
    follow: bool = False
    """Whether it is waited on at its end."""
    prompt: bool = False
    """Whether somebody waits for each message."""
    are_posts: bool = False
    """Whether rows of files become posts by the names of their columns; else they are left as they are."""


@dataclass(frozen=True, slots=True)
class SinkOptions:
    """How a sink is written."""

    measured: str
    """Name of the step in the metrics."""
    prompt: bool = False
    """Whether somebody waits for each message."""
    oversize: Literal["raise", "cut"] = "raise"
    """What becomes of a message that is too large: an error, or the part of it that fits."""
    state: Path | None = None
    """Folder of control/, status/ and notes of a store that is no folder itself."""


class Endpoint(ABC, Generic[S]):
    """An address that was read: a kind tells its own from others by `of`, and overrides what it can do."""

    reads: ClassVar[str] = ""
    """How the address of a source is written, for help and errors; empty: it cannot be read from."""
    takes_messages: ClassVar[str] = ""
    """How the address of a sink of messages is written; empty: it takes none."""
    takes_rows: ClassVar[str] = ""
    """How the address of a sink of rows is written; empty: it takes none."""
    is_followed: ClassVar[bool] = False
    """Whether a source is waited on at its end, where nothing else is said."""
    lag_unit: ClassVar[str] = "messages"
    """What is counted of that which is left to read."""

    path: Path | None = None
    """Where it is on this machine; None: elsewhere."""
    topic: str | None = None
    """The topic of a broker, where it is one."""

    def __init__(self, address: str) -> None:
        self.address = address

    @classmethod
    @abstractmethod
    def of(cls, address: str) -> Self | None:
        """The endpoint of an address, None where it is of another kind; raises `SettingsError` where it is half one."""

    @property
    def place(self) -> str:
        """The same for all addresses of one place."""
        return self.address if self.path is None else str(self.path.resolve())

    @property
    def stem(self) -> Path | None:
        """The path that what belongs to it is named after; None where it is elsewhere."""
        return self.path

    @property
    def image_hosts(self) -> tuple[str, ...]:
        """Hosts that whoever wrote the address says images come from, wherever these are."""
        return ()

    def lock_file(self, writer: str) -> Path | None:  # noqa: ARG002
        """What a flow holds locked while it writes there, so that no second one does; None: that cannot be prevented.

        Args:
            writer: What is written: flows that write different tables of a store do not exclude each other.
        """
        return None

    def prepare(self, recovery: Path, *, goes_on: bool) -> None:
        """Make room for what is written; raises `WorldError` where something else is in its place.

        Args:
            recovery: Folder of snapshots.
            goes_on: Whether there are some, so that what was written must be there.
        """

    def source(self, options: SourceOptions, settings: S) -> PlacedSource:  # noqa: ARG002
        """What reads it; raises `SettingsError` where the settings lack what it needs."""
        raise SettingsError(f"{self.address} cannot be read from")

    def message_sink(self, options: SinkOptions, settings: S) -> MessageSink:  # noqa: ARG002
        """What writes messages to it; raises `SettingsError` where the settings lack what it needs."""
        raise SettingsError(f"{self.address} takes no messages")

    def store(self, settings: S, state: Path | None = None) -> "Store":  # noqa: ARG002
        """The store that is there; raises `SettingsError` where the settings lack what it needs.

        Args:
            settings: Of its kind.
            state: Folder of control/, status/ and notes, where the store is no folder itself.
        """
        raise SettingsError(f"{self.address} is no store")

    def table_sink(self, table: Table, options: SinkOptions, settings: S) -> Sink[TableItem]:  # noqa: ARG002
        """What writes rows of `table` to it; raises `SettingsError` where the settings lack what it needs."""
        raise SettingsError(f"{self.address} takes no rows")

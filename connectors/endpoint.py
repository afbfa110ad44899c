"""Base class of endpoints: the places that addresses name, where posts come from or results go.

A kind of endpoint parses its addresses and constructs the source and the sinks of one. Its module lies beside these,
with the group of settings that it needs, and is registered in `connectors.endpoints`. It imports its client library
only when it constructs something, since that may take a second.
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
"""The group of settings that a kind of endpoint needs."""


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How a source is read."""

    batch: int
    """Maximum number of messages in a batch."""
    follow: bool = False
    """Whether to wait for more at its end."""
    prompt: bool = False
    """Whether latency matters more than throughput, since a client waits for each message."""
    are_posts: bool = False
    """Whether to map rows of files to posts by the names of their columns, or leave them unchanged."""


@dataclass(frozen=True, slots=True)
class SinkOptions:
    """How a sink is written."""

    measured: str
    """Name of the step in metrics."""
    prompt: bool = False
    """Whether latency matters more than throughput, since a client waits for each message."""
    oversize: Literal["raise", "cut"] = "raise"
    """What to do with a message that is too large: raise an error, or truncate it."""
    state: Path | None = None
    """Folder of control/, status/ and notes of a store that is not a folder itself."""


class Endpoint(ABC, Generic[S]):
    """A parsed address. A kind of endpoint recognises its addresses in `of` and overrides what it supports."""

    reads: ClassVar[str] = ""
    """Format of a source's address, for help and errors; empty: it cannot be read from."""
    takes_messages: ClassVar[str] = ""
    """Format of a message sink's address; empty: it takes no messages."""
    takes_rows: ClassVar[str] = ""
    """Format of a row sink's address; empty: it takes no rows."""
    is_followed: ClassVar[bool] = False
    """Whether a source waits for more at its end by default."""
    lag_unit: ClassVar[str] = "messages"
    """Unit of the lag."""

    path: Path | None = None
    """Path on this machine; None for a remote endpoint."""
    topic: str | None = None
    """Topic of a broker; None for other kinds."""

    def __init__(self, address: str) -> None:
        self.address = address

    @classmethod
    @abstractmethod
    def of(cls, address: str) -> Self | None:
        """Parse an address; None if it is of another kind. Raises `SettingsError` if it is incomplete or invalid."""

    @property
    def place(self) -> str:
        """Return a canonical name, the same for all addresses of one place."""
        return self.address if self.path is None else str(self.path.resolve())

    @property
    def stem(self) -> Path | None:
        """Return the path after which related files are named; None for a remote endpoint."""
        return self.path

    @property
    def image_hosts(self) -> tuple[str, ...]:
        """Return image hosts that the address itself permits, even private ones."""
        return ()

    def lock_file(self, writer: str) -> Path | None:  # noqa: ARG002
        """Return the file that a flow locks to be the only writer; None if other writers cannot be excluded.

        Args:
            writer: Name of the writer: flows that write different tables of a store do not exclude each other.
        """
        return None

    def prepare(self, recovery: Path, *, goes_on: bool) -> None:
        """Create the place to write to; raises `WorldError` if something else is there.

        Args:
            recovery: Folder of snapshots.
            goes_on: Whether snapshots exist, so that the earlier output must exist too.
        """

    def source(self, options: SourceOptions, settings: S) -> PlacedSource:  # noqa: ARG002
        """Return the source of this endpoint; raises `SettingsError` if the settings lack something it needs."""
        raise SettingsError(f"{self.address} cannot be read from")

    def message_sink(self, options: SinkOptions, settings: S) -> MessageSink:  # noqa: ARG002
        """Return a sink of messages; raises `SettingsError` if the settings lack something it needs."""
        raise SettingsError(f"{self.address} takes no messages")

    def store(self, settings: S, state: Path | None = None) -> "Store":  # noqa: ARG002
        """Return the store at this endpoint; raises `SettingsError` if the settings lack something it needs.

        Args:
            settings: Settings of this kind of endpoint.
            state: Folder of control/, status/ and notes, if the store is not a folder itself.
        """
        raise SettingsError(f"{self.address} is not a store")

    def table_sink(self, table: Table, options: SinkOptions, settings: S) -> Sink[TableItem]:  # noqa: ARG002
        """Return a sink of rows of `table`; raises `SettingsError` if the settings lack something it needs."""
        raise SettingsError(f"{self.address} takes no rows")

"""Registry of the kinds of endpoints, which parses every address.

To add a source or sink, write a module with its kind, and register it here: in `KINDS`, and its settings among the base
classes of `EndpointSettings`. Commands, help, settings and flows follow from that.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from connectors.bluesky.bluesky_endpoint import Bluesky, BlueskySettings
from connectors.cassandra.cassandra_endpoint import CassandraEndpoint
from connectors.cassandra.cassandra_place import CassandraSettings
from connectors.endpoint import Endpoint
from connectors.folder import Folder
from connectors.kafka.kafka_endpoint import KafkaEndpoint, KafkaSettings
from connectors.lines_file import LinesFile, RowsFile
from connectors.local import FileSettings, LocalPlace, has_scheme, path_of
from connectors.objects.object_endpoint import ObjectStorage
from connectors.objects.object_settings import ObjectSettings
from connectors.services.feed import Feed, FeedSettings
from connectors.services.imgur import Imgur, ImgurSettings
from connectors.services.mastodon import Mastodon, MastodonSettings
from connectors.services.reddit import Reddit, RedditSettings
from connectors.services.service import Service
from connectors.services.tumblr import Tumblr, TumblrSettings
from core.errors import SettingsError, WorldError

if TYPE_CHECKING:
    from connectors.store.interface import Store

Kind = type[Endpoint[Any]]

_SERVICES: Final[tuple[Kind, ...]] = (Bluesky, Mastodon, Feed, Reddit, Imgur, Tumblr)
KINDS: Final[tuple[Kind, ...]] = (
    KafkaEndpoint,
    CassandraEndpoint,
    ObjectStorage,
    *_SERVICES,
    Folder,
    LinesFile,
    RowsFile,
)
"""All kinds; the first that recognises an address gets it."""


class EndpointSettings(
    MastodonSettings,
    FeedSettings,
    BlueskySettings,
    TumblrSettings,
    ImgurSettings,
    RedditSettings,
    FileSettings,
    ObjectSettings,
    KafkaSettings,
    CassandraSettings,
):
    """The settings of all kinds of endpoints."""


SERVICES: Final[dict[str, type[Service[Any]]]] = {kind.name: kind for kind in KINDS if issubclass(kind, Service)}
"""The services that are polled, by name."""


@dataclass(frozen=True, slots=True)
class AddressRole:
    """What an address is used for, such as the source of posts."""

    purpose: str
    """The use as a phrase that an address completes: "records go to"."""
    option: str
    """Setting and option that give the address, for errors."""
    form: Callable[[Kind], str]
    """Return the format of a kind's address in this role; empty if the kind does not support it."""

    def forms(self) -> str:
        """Return the formats of all addresses in this role, local ones first."""
        kinds = sorted(KINDS, key=lambda kind: not issubclass(kind, LocalPlace))
        return either([form for kind in kinds if (form := self.form(kind))])

    @property
    def help(self) -> str:
        """Return `forms` with a capital letter, for help texts."""
        forms = self.forms()
        return forms[:1].upper() + forms[1:]


def either(words: list[str]) -> str:
    """Join words as `a, b or c`, without duplicates."""
    *most, last = dict.fromkeys(words)
    return f"{', '.join(most)} or {last}" if most else last


POSTS_FROM: Final = AddressRole("posts come from", "MEMEWAX_SOURCE (or --from)", lambda kind: kind.reads)
QUERIES_FROM: Final = AddressRole(
    "queries come from", "MEMEWAX_QUERIES (or --from)", lambda kind: kind.reads if kind.takes_messages else ""
)
RECORDS_TO: Final = AddressRole(
    "records go to", "MEMEWAX_TO (or --to)", lambda kind: kind.takes_rows or kind.takes_messages
)
POSTS_TO: Final = AddressRole("posts go to", "MEMEWAX_TO (or --to)", lambda kind: kind.takes_messages)
DEAD_LETTERS_TO: Final = AddressRole(
    "dead letters go to", "MEMEWAX_DEAD_LETTERS (or --dead-letters)", lambda kind: kind.takes_messages
)
EVENTS_TO: Final = AddressRole("cluster events go to", "MEMEWAX_CLUSTER_EVENTS", lambda kind: kind.takes_messages)
ANSWERS_TO: Final = AddressRole("answers go to", "MEMEWAX_ANSWERS (or --to)", lambda kind: kind.takes_messages)
STORE_AT: Final = AddressRole("the store is in", "MEMEWAX_STORE (or --store)", lambda kind: kind.takes_rows)
EMBEDDINGS_TO: Final = AddressRole(
    "sentence embeddings go to", "MEMEWAX_SENTENCE_EMBEDDINGS", lambda kind: kind.takes_messages
)


def endpoint(address: str, role: AddressRole) -> Endpoint[Any]:
    """Parse an address; raises `SettingsError` if no kind of endpoint recognises it in this role."""
    if not address:
        raise SettingsError(f"{role.option} is not set: {role.purpose} {role.forms()}")
    try:
        found = next((it for kind in KINDS if (it := kind.of(address)) is not None), None)
        if found is not None and role.form(type(found)):
            return found
        raise SettingsError(f"{address!r} cannot be used here: {role.purpose} {role.forms()}{_hint(address, role)}")
    except OSError as error:
        raise WorldError(f"cannot read {address}: {error.strerror}") from None


def open_store(address: str | Path, settings: EndpointSettings, state: Path | None = None) -> "Store":
    """Open the store at an address for reading; an address without a scheme is a folder, whatever its name.

    Args:
        address: Address of any kind of store.
        settings: Settings of all kinds of endpoints.
        state: Folder of control/, status/ and notes of a store that is not a folder itself.

    Raises:
        SettingsError: If the address is not that of a store, or the settings lack something it needs.
    """
    is_elsewhere = isinstance(address, str) and "://" in address
    found = endpoint(str(address), STORE_AT) if is_elsewhere else Folder.at(Path(address))
    return found.store(settings, state)


def _hint(address: str, role: AddressRole) -> str:
    """Return hints at what may have been meant, each after a semicolon."""
    hints = []
    if "," in address:
        hints.append("an address is never split at commas: repeat the option for several, or give a JSON list")
    path = path_of(address)
    if path is not None and path.suffix and not path.exists() and role.form(Folder):
        hints.append(f"for a new folder with an extension in its name write {address + os.sep!r}")
    if has_scheme(address) and "://" not in address:
        hints.append("write a path with a colon with ./ in front")
    return "".join(f"; {hint}" for hint in hints)

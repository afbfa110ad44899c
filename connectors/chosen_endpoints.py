"""The endpoints that a flow's settings name: sources, sinks, dead letters and cluster events."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import orjson

from connectors.connector_settings import SinkSettings, SourceSettings
from connectors.endpoint import Endpoint, SinkOptions
from connectors.endpoints import (
    DEAD_LETTERS_TO,
    EVENTS_TO,
    POSTS_FROM,
    RECORDS_TO,
    AddressRole,
    EndpointSettings,
    endpoint,
)
from connectors.sources.several import Known, Several
from connectors.sources.source import Source
from core.errors import SettingsError, WorldError

if TYPE_CHECKING:
    from connectors.store.interface import Store


class ReadSettings(EndpointSettings, SourceSettings):
    """The settings that sources need."""


class WriteSettings(EndpointSettings, SinkSettings, SourceSettings):
    """The settings that sinks need, with those of sources: no sink may lie in a source."""


_UNKNOWN: Final[Known] = {}


def sources_of(settings: SourceSettings) -> list[Endpoint[Any]]:
    """Return the source endpoints, deduplicated by place; raises `SettingsError` if there are none.

    Returns none for a flow that only processes pending requests (`requests_only`).
    """
    if settings.requests_only:
        return []
    found = [endpoint(address, POSTS_FROM) for address in settings.source or ("",)]
    return list({it.place: it for it in found}.values())


def source_of(settings: ReadSettings, known: Known = _UNKNOWN) -> Source:
    """Combine the sources of the settings into one, resuming from the known states.

    Raises `SettingsError` if the settings name no source or lack something that one needs.
    """
    return Several([it.source(settings.options_of(it), settings) for it in sources_of(settings)], known)


def check_source(settings: ReadSettings) -> None:
    """Raise `WorldError` if a local source is missing or invalid, before a flow creates anything."""
    for it in sources_of(settings):
        source = it.source(settings.options_of(it), settings)
        if it.path is not None:
            for place in source.places():
                place.check()


def folders_of(sources: Sequence[str]) -> dict[Path, Path]:
    """Map each local source, a file or folder, to the base folder of its posts' relative URLs."""
    paths = [path.resolve() for it in sources if (path := endpoint(it, POSTS_FROM).path) is not None]
    return {path: path if path.is_dir() else path.parent for path in paths}


def check_addresses(settings: WriteSettings) -> None:
    """Raise `SettingsError` if an address of a source or sink is invalid, before models are loaded."""
    sources_of(settings)
    Destinations.of(settings)


def check_elsewhere(settings: WriteSettings) -> None:
    """Raise `WorldError` if a remote source or sink is unavailable, before models are loaded."""
    for it in sources_of(settings):
        if it.path is None:
            it.source(settings.options_of(it), settings).places()
    destinations = Destinations.of(settings)
    for it in destinations.all():
        if it.path is None and it.takes_rows:
            it.store(settings, destinations.state(settings.state_dir)).check()
        elif it.path is None:
            it.message_sink(SinkOptions("check"), settings).check()


@dataclass(frozen=True, slots=True)
class Destinations:
    """The endpoints that a flow writes to."""

    sinks: tuple[Endpoint[Any], ...]
    dead_letters: Endpoint[Any]
    cluster_events: Endpoint[Any] | None
    """None: cluster events go only to the stores among the sinks."""

    @classmethod
    def of(cls, settings: WriteSettings, role: AddressRole = RECORDS_TO) -> Self:
        """Parse the addresses in the settings, the sinks in `role`; raises `SettingsError` if one is invalid."""
        if not settings.to:
            raise SettingsError(f"no sink: set {role.option} to {role.forms()}")
        sinks = tuple(endpoint(address, role) for address in settings.to)
        for sink in sinks:
            _refuse_lists(sink)
        dead_letters = settings.dead_letters or str(path_beside(sinks, "dead-letters.jsonl"))
        events = endpoint(settings.cluster_events, EVENTS_TO) if settings.cluster_events else None
        made = cls(sinks, endpoint(dead_letters, DEAD_LETTERS_TO), events)
        made.refuse_clashes(settings.source)
        return made

    def all(self) -> tuple[Endpoint[Any], ...]:
        """Return all of the endpoints."""
        return (*self.sinks, self.dead_letters, *([self.cluster_events] if self.cluster_events else []))

    def path_beside(self, suffix: str) -> Path:
        """Return a path beside the first local sink: `store.<suffix>` for a sink `store`."""
        return path_beside(self.sinks, suffix)

    def states(self, state_dir: Path | None) -> list[Path]:
        """Return the folders of `control/` and `status/`: the local stores, and `state` for all others."""
        here = [it.path for it in self.sinks if it.takes_rows and it.path is not None]
        is_elsewhere = any(it.takes_rows and it.path is None for it in self.sinks)
        return [*here, *([self.state(state_dir)] if is_elsewhere or not here else [])]

    def state(self, state_dir: Path | None) -> Path:
        """Return `state_dir`, or by default a folder beside the first sink, like the recovery folder."""
        return state_dir or self.path_beside("state")

    def stores(self, settings: WriteSettings) -> "list[Store]":
        """Return the stores among the sinks; raises `SettingsError` if the settings lack something that one needs."""
        state = self.state(settings.state_dir)
        return [it.store(settings, state) for it in self.sinks if it.takes_rows]

    def refuse_clashes(self, sources: Sequence[str]) -> None:
        """Raise if a place is written twice (the writers would truncate each other's file) or also read as posts."""
        read = [endpoint(address, POSTS_FROM) for address in sources]
        seen = set()
        for it in self.all():
            for source in read:
                refuse_loop(it, source)
            if it.place in seen:
                raise SettingsError(f"{it.address} is named twice as a sink: each sink needs its own place")
            seen.add(it.place)


def refuse_loop(sink: Endpoint[Any], source: Endpoint[Any]) -> None:
    """Raise `WorldError` if a sink would overwrite a source, `SettingsError` if it lies inside of one."""
    # Compare topics by name alone, since one Kafka cluster has many addresses.
    if sink.place == source.place or (sink.topic is not None and sink.topic == source.topic):
        raise WorldError(f"{sink.address} is also the source, {source.address}: write to another place")
    folder = source.path
    inside = folder is not None and folder.is_dir() and sink.path is not None and not sink.takes_rows
    if inside and folder is not None and Path(sink.place).is_relative_to(folder.resolve()):
        raise SettingsError(f"{sink.address} lies in the source, {source.address}: write to a place outside of it")


def path_beside(sinks: tuple[Endpoint[Any], ...], suffix: str) -> Path:
    """Return a path beside the first local sink, or `memewax.<suffix>` in the current folder without any."""
    stem = next((it.stem for it in sinks if it.stem is not None), Path("memewax"))
    stem = stem if stem.name else stem.resolve()
    return stem.with_name(f"{stem.name}.{suffix}")


def _refuse_lists(sink: Endpoint[Any]) -> None:
    """Refuse a list with commas, an older format: it would become a file with an odd name."""
    pieces = [piece.strip() for piece in sink.address.split(",") if piece.strip()]
    path = sink.path
    if path is not None and len(pieces) > 1 and any("," in it.name and not it.exists() for it in (path, *path.parents)):
        raise SettingsError(
            f"{sink.address!r} is read as one address, not split at commas: repeat --to for each address, or give "
            f"the JSON list {orjson.dumps(pieces).decode()}; a file or folder of this name must exist already"
        )

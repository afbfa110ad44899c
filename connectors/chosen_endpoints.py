"""The endpoints that the settings of a flow name: its source, its sinks, and what is written beside these."""

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
    """What a source is made of."""


class WriteSettings(EndpointSettings, SinkSettings, SourceSettings):
    """What sinks are made of; none may lie in the source."""


_UNKNOWN: Final[Known] = {}


def sources_of(settings: SourceSettings) -> list[Endpoint[Any]]:
    """The endpoints that posts come from, each once; raises `SettingsError` where there is none.

    None of them is read where the flow is only to do what was asked of it.
    """
    if settings.requests_only:
        return []
    found = [endpoint(address, POSTS_FROM) for address in settings.source or ("",)]
    return list({it.place: it for it in found}.values())


def source_of(settings: ReadSettings, known: Known = _UNKNOWN) -> Source:
    """The sources of the settings as one, which goes on from what is known of them.

    Raises `SettingsError` where the settings name none, or lack what one needs.
    """
    return Several([it.source(settings.options_of(it), settings) for it in sources_of(settings)], known)


def check_source(settings: ReadSettings) -> None:
    """Raise `WorldError` where a source on this machine is not there, or is none: before a flow makes anything."""
    for it in sources_of(settings):
        source = it.source(settings.options_of(it), settings)
        if it.path is not None:
            for place in source.places():
                place.check()


def folders_of(sources: Sequence[str]) -> dict[Path, Path]:
    """The folders that relative URLs of posts lie in, by the file or folder that the posts come from."""
    paths = [path.resolve() for it in sources if (path := endpoint(it, POSTS_FROM).path) is not None]
    return {path: path if path.is_dir() else path.parent for path in paths}


def check_addresses(settings: WriteSettings) -> None:
    """Raise `SettingsError` where a source or a sink cannot be: before a model is loaded."""
    sources_of(settings)
    Destinations.of(settings)


def check_elsewhere(settings: WriteSettings) -> None:
    """Raise `WorldError` where a source or sink on another machine is not there: before a model is loaded."""
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
    """Where a flow writes."""

    sinks: tuple[Endpoint[Any], ...]
    dead_letters: Endpoint[Any]
    cluster_events: Endpoint[Any] | None
    """None: to the stores among the sinks alone."""

    @classmethod
    def of(cls, settings: WriteSettings, role: AddressRole = RECORDS_TO) -> Self:
        """Those of the settings; `role` is that of the sinks. Raises `SettingsError` where one cannot be."""
        if not settings.to:
            raise SettingsError(f"no sink: set {role.option} to {role.forms()}")
        sinks = tuple(endpoint(address, role) for address in settings.to)
        for sink in sinks:
            _refuse_lists(sink)
        letters = settings.dead_letters or str(beside(sinks, "dead-letters.jsonl"))
        events = endpoint(settings.cluster_events, EVENTS_TO) if settings.cluster_events else None
        made = cls(sinks, endpoint(letters, DEAD_LETTERS_TO), events)
        made.refuse_clashes(settings.source)
        return made

    def all(self) -> tuple[Endpoint[Any], ...]:
        """Each of them."""
        return (*self.sinks, self.dead_letters, *([self.cluster_events] if self.cluster_events else []))

    def beside(self, suffix: str) -> Path:
        """A path beside the first sink on this machine: `store` gives `store.<suffix>`."""
        return beside(self.sinks, suffix)

    def states(self, state_dir: Path | None) -> list[Path]:
        """The folders that hold `control/` and `status/`: the stores on this machine, and `state` for any other."""
        here = [it.path for it in self.sinks if it.takes_rows and it.path is not None]
        is_elsewhere = any(it.takes_rows and it.path is None for it in self.sinks)
        return [*here, *([self.state(state_dir)] if is_elsewhere or not here else [])]

    def state(self, state_dir: Path | None) -> Path:
        """`state_dir`, or where it is None, a folder beside the first sink, as the recovery folder is."""
        return state_dir or self.beside("state")

    def stores(self, settings: WriteSettings) -> "list[Store]":
        """The stores among the sinks; raises `SettingsError` where the settings lack what one needs."""
        state = self.state(settings.state_dir)
        return [it.store(settings, state) for it in self.sinks if it.takes_rows]

    def refuse_clashes(self, sources: Sequence[str]) -> None:
        """Two writers would cut each other's file, and what is written into a source would be read as posts."""
        read = [endpoint(address, POSTS_FROM) for address in sources]
        seen = set()
        for it in self.all():
            for source in read:
                refuse_loop(it, source)
            if it.place in seen:
                raise SettingsError(f"{it.address} is named twice among the sinks: each needs a place of its own")
            seen.add(it.place)


def refuse_loop(sink: Endpoint[Any], source: Endpoint[Any]) -> None:
    """Raise `WorldError` where what is read would be written over, `SettingsError` where it would be read again."""
    # Topics by name alone, since one cluster has many addresses.
    if sink.place == source.place or (sink.topic is not None and sink.topic == source.topic):
        raise WorldError(f"{sink.address} is what is read, {source.address}: write to another place")
    folder = source.path
    inside = folder is not None and folder.is_dir() and sink.path is not None and not sink.takes_rows
    if inside and folder is not None and Path(sink.place).is_relative_to(folder.resolve()):
        raise SettingsError(f"{sink.address} lies in the source, {source.address}: name a place outside of it")


def beside(sinks: tuple[Endpoint[Any], ...], suffix: str) -> Path:
    """A path beside the first sink on this machine, or beside `memewax` here where there is none."""
    stem = next((it.stem for it in sinks if it.stem is not None), Path("memewax"))
    stem = stem if stem.name else stem.resolve()
    return stem.with_name(f"{stem.name}.{suffix}")


def _refuse_lists(sink: Endpoint[Any]) -> None:
    """A list with commas, which addresses were once, would become a file with an odd name."""
    pieces = [piece.strip() for piece in sink.address.split(",") if piece.strip()]
    path = sink.path
    if path is not None and len(pieces) > 1 and any("," in it.name and not it.exists() for it in (path, *path.parents)):
        raise SettingsError(
            f"{sink.address!r} is one address, since addresses are not split at commas: repeat --to for each, or give "
            f"the JSON list {orjson.dumps(pieces).decode()}; a file or folder of this name must be there already"
        )

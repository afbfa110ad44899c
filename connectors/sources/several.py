"""Several sources as one; a place is recognised by its contents, so it may be moved, added or removed between runs.

Bytewax requires every partition in a recovery folder to exist again. So partitions of missing places remain: they end
at once, and keep their position in case the place returns.
"""

from collections.abc import Mapping, Sequence
from itertools import count

from connectors.services.refusals import MissingError
from connectors.sources.source import Place, PlacedSource, Position, Reader, ReaderAround, Source, Unit
from core.telemetry import log

Known = Mapping[str, Position | None]
"""Positions in a recovery folder, by partition name; None if nothing of the partition was read yet."""


class Several(Source):
    """The places of several sources.

    Args:
        sources: The sources of this run.
        known: Positions of earlier runs, of these and of other sources.
    """

    def __init__(self, sources: Sequence[PlacedSource], known: Known) -> None:
        self._sources = sources
        self._known = {name: _of_names(known, name) for name in dict.fromkeys(_place_of(part) for part in known)}
        self._parts = list(known)
        self._named: dict[str, Place] | None = None

    def parts(self) -> list[str]:
        """Return the partitions of all places, even missing ones; raises `WorldError` if a source does not exist."""
        named = self._named_places()
        mine = [
            _part(name, number)
            for name, place in named.items()
            for number in place.part_numbers(_positions(self._known.get(name, {})))
        ]
        return list(dict.fromkeys([*mine, *self._parts]))

    def places(self) -> list[Place]:
        """Return the places of all sources; places of equal name are merged."""
        found: dict[str, Place] = {}
        for source in self._sources:
            for it in source.places():
                found[it.name] = found[it.name].merged_with(it) if it.name in found else it
        return list(found.values())

    def open(self, part: str, resume: Position | None) -> Reader:
        """Read a partition from its start or from `resume`; a missing one ends at once."""
        named = self._named_places()
        name = _place_of(part)
        positions = _positions(self._known.get(name, {}))
        if name in named and _number(part) in named[name].part_numbers(positions):
            reader = named[name].open(_number(part), resume, positions)
            return reader if len(named) == 1 else _OneOfSeveral(reader, name)
        return _Gone()

    def _named_places(self) -> dict[str, Place]:
        """Return the places by the names of their positions; unmoved places are matched first, then moved ones."""
        if self._named is not None:
            return self._named
        places = self.places()
        named: dict[str, Place] = {}
        for it in places:
            own = [name for name in self._known if _is_variant(name, it.name) and name not in named]
            if fit := [name for name in own if it.owns_positions(_positions(self._known[name])) is not False]:
                named[fit[0]] = it
        for it in places:
            if it not in named.values():
                moved = self._moved(it, named)
                named[self._new(it, named) if moved is None else moved] = it
        self._named = named
        return named

    def _moved(self, place: Place, named: Mapping[str, Place]) -> str | None:
        free = [name for name in self._known if name not in named]
        found = next((name for name in free if place.was_called(name, _positions(self._known[name]))), None)
        if found is not None:
            log.info("recognised a source that was moved", source=place.name, was=found or "an older version")
        return found

    def _new(self, place: Place, named: Mapping[str, Place]) -> str:
        if place.name in self._known:
            log.warning("the contents of a source were replaced; it is read from its start", source=place.name)
        names = (place.name if number == 1 else f"{place.name}~{number}" for number in count(1))
        return next(name for name in names if name not in self._known and name not in named)


class _OneOfSeveral(ReaderAround):
    """A reader that logs a missing place and ends, so that the other places continue."""

    def __init__(self, reader: Reader, name: str) -> None:
        super().__init__(reader)
        self._name = name

    def read(self) -> Unit | None:
        try:
            return self._inner.read()
        except MissingError as error:
            log.warning("source not found, skipped; the others are read", source=self._name, reason=str(error))
            return None


class _Gone(Reader):
    """Reader of a missing place; ends at once."""

    def read(self) -> Unit | None:
        return None

    @property
    def ended(self) -> bool:
        return True

    def close(self) -> None:
        pass


def _is_variant(name: str, of: str) -> bool:
    """Check whether `name` is a place's name, or that of later contents in the same place (`NAME~2`)."""
    rest = name.removeprefix(of)
    return name.startswith(of) and (not rest or (rest[0] == "~" and rest[1:].isdecimal()))


def _place_of(part: str) -> str:
    """Return the name of a partition's place; "" for topics of older versions, whose partitions are mere numbers."""
    return part.rpartition("#")[0]


def _number(part: str) -> int:
    return int(part.rpartition("#")[2])


def _part(name: str, number: int) -> str:
    return f"{name}#{number}" if name else str(number)


def _of_names(known: Known, name: str) -> dict[str, Position | None]:
    return {part: position for part, position in known.items() if _place_of(part) == name}


def _positions(known: Mapping[str, Position | None]) -> list[Position]:
    return [position for position in known.values() if position is not None]

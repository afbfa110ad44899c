"""Several sources as one, whose places come and go: each position is found by what was read, not by where it lies.

A recovery folder that holds the position of a part has to see that part again. So parts of places that are gone stay:
they end at once, and keep their position for the day on which the place is back.
"""

from collections.abc import Mapping, Sequence
from itertools import count

from connectors.services.refusals import MissingError
from connectors.sources.source import Place, PlacedSource, Position, Reader, ReaderAround, Source, Unit
from core.telemetry import log

Known = Mapping[str, Position | None]
"""What a recovery folder holds: positions by the names of parts, None of those of which nothing was read yet."""


class Several(Source):
    """The places of some sources.

    Args:
        sources: Those of today.
        known: What was read until now, of these and of others.
    """

    def __init__(self, sources: Sequence[PlacedSource], known: Known) -> None:
        self._sources = sources
        self._known = {name: _of_names(known, name) for name in dict.fromkeys(_place_of(part) for part in known)}
        self._parts = list(known)
        self._named: dict[str, Place] | None = None

    def parts(self) -> list[str]:
        """Names of parts of all places, and of those that are gone; raises `WorldError` where a source is not there."""
        named = self._named_places()
        mine = [
            _part(name, number)
            for name, place in named.items()
            for number in place.numbers(_positions(self._known.get(name, {})))
        ]
        return list(dict.fromkeys([*mine, *self._parts]))

    def places(self) -> list[Place]:
        """Those of the sources, each once."""
        found: dict[str, Place] = {}
        for source in self._sources:
            for it in source.places():
                found[it.name] = found[it.name].joined(it) if it.name in found else it
        return list(found.values())

    def open(self, part: str, resume: Position | None) -> Reader:
        """Read a part from its start, or from where `resume` says; one that is gone ends at once."""
        named = self._named_places()
        name = _place_of(part)
        positions = _positions(self._known.get(name, {}))
        if name in named and _number(part) in named[name].numbers(positions):
            reader = named[name].open(_number(part), resume, positions)
            return reader if len(named) == 1 else _OneOfSeveral(reader, name)
        return _Gone()

    def _named_places(self) -> dict[str, Place]:
        """The places by the names under which their positions are kept: first those that stayed, then the moved."""
        if self._named is not None:
            return self._named
        places = self.places()
        named: dict[str, Place] = {}
        for it in places:
            own = [name for name in self._known if _is_variant(name, it.name) and name not in named]
            if fit := [name for name in own if it.knows(_positions(self._known[name])) is not False]:
                named[fit[0]] = it
        for it in places:
            if it not in named.values():
                moved = self._moved(it, named)
                named[self._new(it, named) if moved is None else moved] = it
        self._named = named
        return named

    def _moved(self, place: Place, named: Mapping[str, Place]) -> str | None:
        free = [name for name in self._known if name not in named]
        found = next((name for name in free if place.was(name, _positions(self._known[name]))), None)
        if found is not None:
            log.info("a source is known from another place", source=place.name, was=found or "an older version")
        return found

    def _new(self, place: Place, named: Mapping[str, Place]) -> str:
        if place.name in self._known:
            log.warning("a source holds something else than it did, and is read from its start", source=place.name)
        names = (place.name if number == 1 else f"{place.name}~{number}" for number in count(1))
        return next(name for name in names if name not in self._known and name not in named)


class _OneOfSeveral(ReaderAround):
    """A reader that ends, and says so, where what it reads is gone: the other places are read on."""

    def __init__(self, reader: Reader, name: str) -> None:
        super().__init__(reader)
        self._name = name

    def read(self) -> Unit | None:
        try:
            return self._inner.read()
        except MissingError as error:
            log.warning("a source is left out, and the others are read", source=self._name, reason=str(error))
            return None


class _Gone(Reader):
    """What is left of a place that is gone."""

    def read(self) -> Unit | None:
        return None

    @property
    def ended(self) -> bool:
        return True

    def close(self) -> None:
        pass


def _is_variant(name: str, of: str) -> bool:
    """Whether a name is that of a place, or of something else that was there later."""
    rest = name.removeprefix(of)
    return name.startswith(of) and (not rest or (rest[0] == "~" and rest[1:].isdecimal()))


def _place_of(part: str) -> str:
    """The name of the place that a part belongs to; older versions named partitions of topics by number alone."""
    return part.rpartition("#")[0]


def _number(part: str) -> int:
    return int(part.rpartition("#")[2])


def _part(name: str, number: int) -> str:
    return f"{name}#{number}" if name else str(number)


def _of_names(known: Known, name: str) -> dict[str, Position | None]:
    return {part: position for part, position in known.items() if _place_of(part) == name}


def _positions(known: Mapping[str, Position | None]) -> list[Position]:
    return [position for position in known.values() if position is not None]

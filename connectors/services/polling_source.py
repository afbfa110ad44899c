"""A source that polls: threads ask the service, so that the flow never waits for it."""

import math
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from queue import Empty, Queue
from typing import Final, Self

from connectors.services.api_client import RetryPolicy
from connectors.services.clock import Clock, StoppedError, WallClock
from connectors.services.listing import Listing
from connectors.services.polling_cycles import PollingCycles, PollingOptions
from connectors.services.refusals import MissingError
from connectors.sources.source import Place, PlacedSource, Position, Reader, Unit, check_version
from core.partitions import part_of
from core.telemetry import log

_VERSION: Final = 1
_PARTS: Final = 8
"""Fixed, since Bytewax keeps state by their names and refuses to go on where one is missing: names come and go."""
_AHEAD: Final = 16
"""Units of a listing that wait for the flow, at most."""

Opening = Callable[[str, Clock, RetryPolicy], tuple[Listing, Callable[[], None]]]
"""Opens the listing of a name; the second is called when it is done with."""


class PollingSource(PlacedSource):
    """Listings of one service, dealt to a few parts.

    Args:
        service: Its name.
        names: Of its listings.
        polling: How they are polled.
        retry_policy: How patiently, where nobody waits for more; one who follows is as patient as it takes.
        opening: Opens one.
    """

    def __init__(
        self, service: str, names: tuple[str, ...], polling: PollingOptions, retry_policy: RetryPolicy, opening: Opening
    ) -> None:
        self._names = {f"{service}:{name}": name for name in names}
        self._polling = polling
        self._manners = replace(retry_policy, attempts=0, patience=math.inf) if polling.follow else retry_policy
        self._opening = opening
        self._tally = Tally(frozenset(self._names))

    @property
    def listings(self) -> frozenset[str]:
        """By service and name."""
        return frozenset(self._names)

    def parts(self) -> list[str]:
        """The same for all services and names; nothing is asked yet."""
        return [f"services#{number}" for number in range(_PARTS)]

    def places(self) -> list["ServicesPlace"]:
        """One for all services and names; nothing is asked yet."""
        return [ServicesPlace([self])]

    def open(self, part: str, resume: Position | None) -> "PartReader":
        """Poll the listings of a part, each after what `resume` has seen of it."""
        readers = self.readers(int(part.rpartition("#")[2]), resume)
        return PartReader(readers, resume["listings"] if resume else {}, self._tally)

    def readers(self, number: int, resume: Position | None) -> "dict[str, PollReader]":
        """Readers of the listings of a part, by service and name, each after what `resume` has seen of it."""
        if resume is not None:
            check_version(resume, _VERSION, "seen")
        seen: dict[str, Position] = resume["listings"] if resume else {}
        mine = [name for name in self._names if part_of(name, _PARTS) == number]
        return {name: self._reader(name, seen.get(name)) for name in mine}

    def _reader(self, name: str, resume: Position | None) -> "PollReader":
        stop = threading.Event()
        clock = WallClock(stop)
        listing, close = self._opening(self._names[name], clock, self._manners)
        return PollReader(PollingCycles(listing, name, self._polling, clock, resume).units(), stop, close)


class ServicesPlace(Place):
    """All listings that are polled, of any service: a part remembers what was seen of each."""

    name = "services"

    def __init__(self, polled: "Sequence[PollingSource]") -> None:
        self._polled = polled
        self._tally = Tally(frozenset().union(*(it.listings for it in polled)))

    def knows(self, positions: Sequence[Position]) -> bool | None:  # noqa: ARG002
        """Always so: there is no other."""
        return True

    def was(self, name: str, positions: Sequence[Position]) -> bool:  # noqa: ARG002
        """Never so: there is no other."""
        return False

    def numbers(self, positions: Sequence[Position]) -> Iterable[int]:  # noqa: ARG002
        """The same for all services and names."""
        return range(_PARTS)

    def open(self, number: int, resume: Position | None, positions: Sequence[Position]) -> Reader:  # noqa: ARG002
        """Poll the listings of a part, each after what `resume` has seen of it."""
        opened = {name: reader for it in self._polled for name, reader in it.readers(number, resume).items()}
        return PartReader(opened, resume["listings"] if resume else {}, self._tally)

    def joined(self, other: Self) -> Place:
        """The listings of both."""
        return ServicesPlace([*self._polled, *other._polled])


@dataclass(slots=True)
class Tally:
    """What a process knows of all listings that are polled."""

    listings: frozenset[str]
    gone: set[str] = field(default_factory=set)

    def miss(self, name: str) -> bool:
        """Note that a listing is gone; whether others are left, here or in other processes."""
        self.gone.add(name)
        return self.listings != self.gone


class PartReader(Reader):
    """Hands out what several listings give, in turns; remembers those too that are not polled now.

    Where one of several is gone, that is told and the others go on.
    """

    def __init__(self, readers: dict[str, "PollReader"], seen: dict[str, Position], tally: Tally) -> None:
        self._readers = readers
        self._tally = tally
        self._seen = dict(seen)
        self._turns = list(readers)

    def read(self) -> Unit | None:
        """The next unit that has come from any; raises what ended one of them, but for one that is gone of several."""
        for name in list(self._turns):
            try:
                unit = self._readers[name].read()
            except MissingError as error:
                if not self._tally.miss(name):
                    raise
                log.warning("a source is left out, and the others are read", source=name, reason=str(error))
                continue
            if unit is not None:
                self._turns.remove(name)
                self._turns.append(name)
                self._seen[name] = unit.resume
                return Unit(unit.messages, {"version": _VERSION, "listings": dict(self._seen)})
        return None

    @property
    def ended(self) -> bool:
        """Whether all of them have."""
        return all(reader.ended for reader in self._readers.values())

    def lag(self) -> int:
        """Posts that have come and were not read yet."""
        return sum(reader.lag() for reader in self._readers.values())

    def close(self) -> None:
        """Let all threads end."""
        for reader in self._readers.values():
            reader.close()


@dataclass(frozen=True, slots=True)
class _End:
    """The last that a thread has to say."""

    error: Exception | None = None


class PollReader(Reader):
    """Hands out what a thread of its own reads ahead, within a bound."""

    def __init__(self, units: Iterator[Unit], stop: threading.Event, close: Callable[[], None]) -> None:
        self._units = units
        self._stop = stop
        self._close = close
        self._queue: Queue[Unit | _End] = Queue(_AHEAD)
        self._ended = False
        self._put = 0
        self._taken = 0
        threading.Thread(target=self._poll, name="poll", daemon=True).start()

    def read(self) -> Unit | None:
        """The next unit that has come; raises what ended the polling."""
        try:
            found = self._queue.get_nowait()
        except Empty:
            return None
        if isinstance(found, Unit):
            self._taken += len(found.messages)
            return found
        self._ended = True
        if found.error is not None:
            raise found.error
        return None

    @property
    def ended(self) -> bool:
        """Whether the round is over and nobody waits for another."""
        return self._ended

    def lag(self) -> int:
        """Posts that have come and were not read yet."""
        return self._put - self._taken

    def close(self) -> None:
        """Let the thread end: at once where it waits, with its request where it asks."""
        self._stop.set()
        while not self._queue.empty():  # it may wait for room
            self._queue.get_nowait()

    def _poll(self) -> None:
        end = _End()
        try:
            for unit in self._units:
                self._put += len(unit.messages)
                self._queue.put(unit)
                if self._stop.is_set():
                    return
        except StoppedError:
            return
        except Exception as error:
            end = _End(error)
        finally:
            # Not by the collector of garbage at the end of the process: a connection would wait for a thread of its own
            # that no longer runs.
            if isinstance(self._units, Generator):
                self._units.close()
            self._close()
        self._queue.put(end)

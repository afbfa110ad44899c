"""A source that polls services in background threads, so that the dataflow never waits for a request."""

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
"""Number of partitions. Bytewax refuses to resume if a partition is missing, so it must not depend on the listings."""
_AHEAD: Final = 16
"""Maximum number of units prefetched per listing."""

Opening = Callable[[str, Clock, RetryPolicy], tuple[Listing, Callable[[], None]]]
"""Opens a listing by name; returns it with a function that closes it."""


class PollingSource(PlacedSource):
    """Listings of one service, distributed over a fixed number of partitions.

    Args:
        service: Name of the service.
        names: Names of its listings.
        polling: How to poll them.
        retry_policy: When to give up. With `polling.follow`, attempts and patience are unlimited.
        opening: Opens a listing.
    """

    def __init__(
        self, service: str, names: tuple[str, ...], polling: PollingOptions, retry_policy: RetryPolicy, opening: Opening
    ) -> None:
        self._names = {f"{service}:{name}": name for name in names}
        self._polling = polling
        self._retry_policy = replace(retry_policy, attempts=0, patience=math.inf) if polling.follow else retry_policy
        self._opening = opening
        self._tally = Tally(frozenset(self._names))

    @property
    def listings(self) -> frozenset[str]:
        """Return the listings as `SERVICE:NAME`."""
        return frozenset(self._names)

    def parts(self) -> list[str]:
        """Return the names of the partitions, which are the same for all services; sends no request."""
        return [f"services#{number}" for number in range(_PARTS)]

    def places(self) -> list["ServicesPlace"]:
        """Return the one place that all services share; sends no request."""
        return [ServicesPlace([self])]

    def open(self, part: str, resume: Position | None) -> "PartReader":
        """Poll the listings of a partition, each from its position in `resume`."""
        readers = self.readers(int(part.rpartition("#")[2]), resume)
        return PartReader(readers, resume["listings"] if resume else {}, self._tally)

    def readers(self, number: int, resume: Position | None) -> "dict[str, PollReader]":
        """Start the readers of a partition's listings, each from its position in `resume`; keys are `SERVICE:NAME`."""
        if resume is not None:
            check_version(resume, _VERSION, "the polling state of services")
        seen: dict[str, Position] = resume["listings"] if resume else {}
        mine = [name for name in self._names if part_of(name, _PARTS) == number]
        return {name: self._reader(name, seen.get(name)) for name in mine}

    def _reader(self, name: str, resume: Position | None) -> "PollReader":
        stop = threading.Event()
        clock = WallClock(stop)
        listing, close = self._opening(self._names[name], clock, self._retry_policy)
        return PollReader(PollingCycles(listing, name, self._polling, clock, resume).units(), stop, close)


class ServicesPlace(Place):
    """All listings that are polled, of any service: a part remembers what was seen of each."""

    name = "services"

    def __init__(self, polled: "Sequence[PollingSource]") -> None:
        self._polled = polled
        self._tally = Tally(frozenset().union(*(it.listings for it in polled)))

    def owns_positions(self, positions: Sequence[Position]) -> bool | None:  # noqa: ARG002
        """Return True: there is only one place of this kind."""
        return True

    def was_called(self, name: str, positions: Sequence[Position]) -> bool:  # noqa: ARG002
        """Return False: the place never had another name."""
        return False

    def part_numbers(self, positions: Sequence[Position]) -> Iterable[int]:  # noqa: ARG002
        """Return the numbers of the partitions, the same for all services and names."""
        return range(_PARTS)

    def open(self, number: int, resume: Position | None, positions: Sequence[Position]) -> Reader:  # noqa: ARG002
        """Poll the listings of a partition, each from its position in `resume`."""
        opened = {name: reader for it in self._polled for name, reader in it.readers(number, resume).items()}
        return PartReader(opened, resume["listings"] if resume else {}, self._tally)

    def merged_with(self, other: Self) -> Place:
        """Merge the listings of two places."""
        return ServicesPlace([*self._polled, *other._polled])


@dataclass(slots=True)
class Tally:
    """The listings polled by all processes, and those that this process has found missing."""

    listings: frozenset[str]
    gone: set[str] = field(default_factory=set)

    def miss(self, name: str) -> bool:
        """Note that a listing is missing; return whether any other is left, here or in other processes."""
        self.gone.add(name)
        return self.listings != self.gone


class PartReader(Reader):
    """Reads several listings round-robin; keeps the positions of listings that are not polled now.

    A missing listing is logged, and the others continue.
    """

    def __init__(self, readers: dict[str, "PollReader"], seen: dict[str, Position], tally: Tally) -> None:
        self._readers = readers
        self._tally = tally
        self._seen = dict(seen)
        self._turns = list(readers)

    def read(self) -> Unit | None:
        """Return the next unit of any listing, or None.

        Raises the error that ended a listing; one missing listing among several raises nothing.
        """
        for name in list(self._turns):
            try:
                unit = self._readers[name].read()
            except MissingError as error:
                if not self._tally.miss(name):
                    raise
                log.warning("source not found, skipped; the others are read", source=name, reason=str(error))
                continue
            if unit is not None:
                self._turns.remove(name)
                self._turns.append(name)
                self._seen[name] = unit.resume
                return Unit(unit.messages, {"version": _VERSION, "listings": dict(self._seen)})
        return None

    @property
    def ended(self) -> bool:
        """Return whether all listings have ended."""
        return all(reader.ended for reader in self._readers.values())

    def lag(self) -> int:
        """Count prefetched posts that were not read yet."""
        return sum(reader.lag() for reader in self._readers.values())

    def close(self) -> None:
        """Stop all threads."""
        for reader in self._readers.values():
            reader.close()


@dataclass(frozen=True, slots=True)
class _End:
    """The last entry of a thread's queue: its error, or None at the normal end."""

    error: Exception | None = None


class PollReader(Reader):
    """Reads units that its own thread prefetches into a bounded queue."""

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
        """Return the next prefetched unit, or None; raises the error that ended polling."""
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
        """Return whether polling has ended: the only cycle is over, since the listing is not followed."""
        return self._ended

    def lag(self) -> int:
        """Count prefetched posts that were not read yet."""
        return self._put - self._taken

    def close(self) -> None:
        """Stop the thread: at once if it sleeps, otherwise after its current request."""
        self._stop.set()
        while not self._queue.empty():  # the thread may be blocked on a full queue
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
            # Close here, not in garbage collection at exit: a connection would wait for a thread that no longer runs.
            if isinstance(self._units, Generator):
                self._units.close()
            self._close()
        self._queue.put(end)

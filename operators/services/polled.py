"""A source that polls: a thread asks the service, so that the flow never waits for it."""

import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from queue import Empty, Queue
from typing import Final

from operators.reading import Position, Reader, Source, Unit
from operators.services.client import Manners
from operators.services.clock import Clock, StoppedError, WallClock
from operators.services.listing import Listing
from operators.services.rounds import Polling, Rounds

_AHEAD: Final = 16
"""Units that wait for the flow, at most."""

Opening = Callable[[str, Clock, Manners], tuple[Listing, Callable[[], None]]]
"""Opens the listing of a name; the second is called when it is done with."""


class Polled(Source):
    """Listings of one service, each a part.

    Args:
        service: Its name.
        names: Of its listings.
        polling: How they are polled.
        manners: How patiently, where nobody waits for more; one who follows is as patient as it takes.
        opening: Opens one.
    """

    def __init__(
        self, service: str, names: tuple[str, ...], polling: Polling, manners: Manners, opening: Opening
    ) -> None:
        self._names = {f"{service}:{name}": name for name in names}
        self._polling = polling
        self._manners = replace(manners, attempts=0, patience=math.inf) if polling.follow else manners
        self._opening = opening

    def parts(self) -> list[str]:
        """`<service>:<name>`; nothing is asked yet."""
        return list(self._names)

    def open(self, part: str, resume: Position | None) -> "PollReader":
        """Poll one listing, going on after what `resume` has seen."""
        stop = threading.Event()
        clock = WallClock(stop)
        listing, close = self._opening(self._names[part], clock, self._manners)
        return PollReader(Rounds(listing, part, self._polling, clock, resume).units(), stop, close)


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
                self._queue.put(unit)
                self._put += len(unit.messages)
                if self._stop.is_set():
                    return
        except StoppedError:
            return
        except Exception as error:
            end = _End(error)
        finally:
            self._close()
        self._queue.put(end)

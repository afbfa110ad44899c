"""Dead letters as the page shows them: by cause, with some of each."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

from connectors.control.replays import ask_replay
from connectors.stored_dead_letters import DeadLetterMarks, StoredDeadLetter, read_dead_letters
from core.causes import cause_of
from core.errors import MemewaxError
from core.untrusted_text import shortened
from dataflows.all_settings import Settings

_MOST: Final = 20_000
"""Letters that are read."""
_SHOWN: Final = 20
"""Of each cause, the last ones."""
_REFRESH_SECONDS: Final = 5.0
_MESSAGE: Final = 500
_REPLAYED: Final = 200
"""Letters that are asked for at a time: a flow fetches their images while it waits."""


@dataclass(slots=True)
class DeadLetterGroup:
    """Letters of one stage and cause."""

    stage: str
    cause: str
    advice: str
    count: int = 0
    dead_letters: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class PageDeadLetters:
    """What is known of dead letters."""

    address: str
    groups: tuple[DeadLetterGroup, ...] = ()
    """The commonest first."""
    total: int = 0
    is_cut: bool = False
    """Whether there are more than were read."""
    problem: str = ""


class DeadLetterReader:
    """Reads the dead letters that are open of a file, again after some seconds; for any number of threads."""

    def __init__(
        self, address: str, state: Path, settings: Settings, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._address, self._state, self._settings, self._now = address, state, settings, now
        self._lock = threading.Lock()
        self._known: PageDeadLetters | None = None
        self._until = 0.0

    def dead_letters(self) -> PageDeadLetters:
        """Those that are open, by cause; what is wrong with reading them is said, not raised."""
        with self._lock:
            if self._known is None or self._now() >= self._until:
                self._known = self._read()
                self._until = self._now() + _REFRESH_SECONDS
            return self._known

    def each(self) -> Iterator[dict[str, Any]]:
        """Those that are open, one by one, in their order; raises `MemewaxError`."""
        marks = DeadLetterMarks(self._state)
        for it in self._latest():
            if marks.of(it) is None:
                cause = cause_of(it.reason)
                yield {"stage": it.stage, "cause": cause.what, "advice": cause.advice, **_told(it)}

    def replay(self, stage: str, cause: str) -> int:
        """Ask the flow to read the open letters of a stage and cause once more, some at a time; gives how many.

        Raises `MemewaxError`.
        """
        with self._lock:
            marks = DeadLetterMarks(self._state)
            found = (it for it in self._latest() if it.stage == stage and cause_of(it.reason).what == cause)
            chosen = list(islice((it for it in found if marks.of(it) is None), _REPLAYED))
            ask_replay(self._state, chosen, marks)
            self._known = None
            return len(chosen)

    def _latest(self) -> list[StoredDeadLetter]:
        """Each letter once, as it was written last; raises `MemewaxError`."""
        if not Path(self._address).is_file():
            return []
        return list({it.id: it for it in islice(read_dead_letters(self._address, self._settings), _MOST)}.values())

    def _read(self) -> PageDeadLetters:
        if not Path(self._address).is_file():
            return PageDeadLetters(self._address)
        try:
            marks = DeadLetterMarks(self._state)
            found = list(islice(read_dead_letters(self._address, self._settings), _MOST + 1))
        except MemewaxError as error:
            return PageDeadLetters(self._address, problem=str(error))
        latest = {it.id: it for it in found[:_MOST]}
        groups: dict[tuple[str, str], DeadLetterGroup] = {}
        counts: Counter[tuple[str, str]] = Counter()
        for it in reversed([it for it in latest.values() if marks.of(it) is None]):
            cause = cause_of(it.reason)
            place = it.stage, cause.name
            counts[place] += 1
            group = groups.setdefault(place, DeadLetterGroup(it.stage, cause.what, cause.advice))
            if len(group.dead_letters) < _SHOWN:
                group.dead_letters.append(_told(it))
        for place, group in groups.items():
            group.count = counts[place]
        ordered = tuple(sorted(groups.values(), key=lambda it: (-it.count, it.stage)))
        return PageDeadLetters(self._address, ordered, counts.total(), len(found) > _MOST)


def dead_letters_beside(state: Path) -> str:
    """Where the dead letters of a store lie unless it is said: beside its folder, or in a demo's file."""
    store = state.with_name(state.name.removesuffix(".state"))
    demo = store.parent / "dead-letters.jsonl"
    usual = store.with_name(f"{store.name}.dead-letters.jsonl")
    return str(demo if demo.is_file() and not usual.is_file() else usual)


def _told(it: StoredDeadLetter) -> dict[str, Any]:
    return {
        "id": it.id,
        "reason": shortened(f"{it.exception}: {it.reason}", _MESSAGE),
        "global_id": it.global_id,
        "origin": shortened(it.message.origin, _MESSAGE),
        "time": it.time and it.time.isoformat(),
        "message": shortened(it.message.value[: 4 * _MESSAGE].decode(errors="replace"), _MESSAGE),
    }

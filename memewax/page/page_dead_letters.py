"""Open dead letters for the page, grouped by cause with examples."""

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
"""Maximum dead letters to read."""
_SHOWN: Final = 20
"""Number of examples of each cause: the latest."""
_REFRESH_SECONDS: Final = 5.0
_MESSAGE: Final = 500
_REPLAYED: Final = 200
"""Maximum dead letters of one replay: a flow waits while it fetches their images."""


@dataclass(slots=True)
class DeadLetterGroup:
    """Dead letters of one stage and cause."""

    stage: str
    cause: str
    advice: str
    count: int = 0
    letters: list[dict[str, Any]] = field(default_factory=list)
    """The latest dead letters; its name is part of the JSON API."""


@dataclass(frozen=True, slots=True)
class PageDeadLetters:
    """All open dead letters, in groups."""

    address: str
    groups: tuple[DeadLetterGroup, ...] = ()
    """The most frequent first."""
    total: int = 0
    is_cut: bool = False
    """Whether there are more dead letters than were read."""
    problem: str = ""


class DeadLetterReader:
    """Reads the open dead letters of a file and caches them for some seconds; thread-safe."""

    def __init__(
        self, address: str, state: Path, settings: Settings, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._address, self._state, self._settings, self._now = address, state, settings, now
        self._lock = threading.Lock()
        self._known: PageDeadLetters | None = None
        self._until = 0.0

    def dead_letters(self) -> PageDeadLetters:
        """Return the open dead letters by cause; an error of reading is in `problem`, not raised."""
        with self._lock:
            if self._known is None or self._now() >= self._until:
                self._known = self._read()
                self._until = self._now() + _REFRESH_SECONDS
            return self._known

    def each(self) -> Iterator[dict[str, Any]]:
        """Yield the open dead letters in their order; raises `MemewaxError`."""
        marks = DeadLetterMarks(self._state)
        for it in self._latest():
            if marks.of(it) is None:
                cause = cause_of(it.reason)
                yield {"stage": it.stage, "cause": cause.what, "advice": cause.advice, **_described(it)}

    def replay(self, stage: str, cause: str) -> int:
        """Request a replay of the open dead letters of a stage and cause, up to a limit; return how many.

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
        """Return the dead letters, deduplicated by id, keeping the latest; raises `MemewaxError`."""
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
            if len(group.letters) < _SHOWN:
                group.letters.append(_described(it))
        for place, group in groups.items():
            group.count = counts[place]
        ordered = tuple(sorted(groups.values(), key=lambda it: (-it.count, it.stage)))
        return PageDeadLetters(self._address, ordered, counts.total(), len(found) > _MOST)


def dead_letters_beside(state: Path) -> str:
    """Return the default file of a store's dead letters: beside its folder, or that of a demo."""
    store = state.with_name(state.name.removesuffix(".state"))
    demo = store.parent / "dead-letters.jsonl"
    usual = store.with_name(f"{store.name}.dead-letters.jsonl")
    return str(demo if demo.is_file() and not usual.is_file() else usual)


def _described(it: StoredDeadLetter) -> dict[str, Any]:
    return {
        "id": it.id,
        "reason": shortened(f"{it.exception}: {it.reason}", _MESSAGE),
        "global_id": it.global_id,
        "origin": shortened(it.message.origin, _MESSAGE),
        "time": it.time and it.time.isoformat(),
        "message": shortened(it.message.value[: 4 * _MESSAGE].decode(errors="replace"), _MESSAGE),
    }

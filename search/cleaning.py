"""Cleaning of texts: named steps, each of which says how many rows it changed and how many it dropped.

The steps and their order are those of "How similar are we to our president?" (course paper, 2019).
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import ClassVar, Final

from core.errors import SettingsError
from core.times import time_or_none
from search.corpus_columns import Draft

_LINK: Final = re.compile(r"(?:http|www)\S+")


class Step(ABC):
    """One step; it may remember what it has seen, so each load has its own."""

    name: ClassVar[str]
    does: ClassVar[str]
    """In words."""

    def __init__(self) -> None:
        self.changed = 0
        """Rows that it changed so far."""
        self.dropped = 0
        """Rows that it dropped so far."""

    def __call__(self, draft: Draft) -> bool:
        """Clean the draft where it stands; False: it is dropped."""
        kept = self.clean(draft)
        if kept is None:
            self.dropped += 1
        elif kept:
            self.changed += 1
        return kept is not None

    @abstractmethod
    def clean(self, draft: Draft) -> bool | None:
        """Change the draft; whether anything was changed, or None to drop it."""


class ParseCreated(Step):
    """What is no time becomes a missing value."""

    name = "parse-created"
    does = "read the time of creation; one that cannot be read is missing"

    def clean(self, draft: Draft) -> bool:
        """As `Step.clean`."""
        before = draft.created
        draft.created = time_or_none(before)
        return draft.created != before


class DropRetweets(Step):
    """By the column `is_retweet`."""

    name = "drop-retweets"
    does = "drop rows whose column is_retweet is true"

    def clean(self, draft: Draft) -> bool | None:
        """As `Step.clean`."""
        return None if str(draft.metadata.get("is_retweet")).lower() in {"true", "1"} else False


class RemoveLinks(Step):
    """The spaces around a link stay, so that two texts that differ in them stay two."""

    name = "remove-links"
    does = "remove what begins with http or www, up to the next space"

    def clean(self, draft: Draft) -> bool:
        """As `Step.clean`."""
        before = draft.text
        draft.text = None if before is None else _LINK.sub("", before)
        return draft.text != before


class ShortenSource(Step):
    """`Twitter for iPhone` becomes `iPhone`."""

    name = "shorten-source"
    does = 'remove "Twitter for " from the source'

    def clean(self, draft: Draft) -> bool:
        """As `Step.clean`."""
        before = draft.source
        draft.source = None if before is None else before.replace("Twitter for ", "")
        return draft.source != before


class DropDuplicates(Step):
    """The first of several stays."""

    name = "drop-duplicates"
    does = "drop rows whose text came before"

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[bytes] = set()

    def clean(self, draft: Draft) -> bool | None:
        """As `Step.clean`."""
        if draft.text is None:
            return False
        mark = blake2b(draft.text.encode(errors="surrogatepass"), digest_size=8).digest()
        if mark in self._seen:
            return None
        self._seen.add(mark)
        return False


class DropMissing(Step):
    """An empty text is a value, as it is in pandas, with which the paper was made."""

    name = "drop-missing"
    does = "drop rows without text, id, time, source or language, of those that the file has columns for"

    def __init__(self, roles: Iterable[str] = ("id", "text")) -> None:
        super().__init__()
        self._roles = tuple(roles)

    def clean(self, draft: Draft) -> bool | None:
        """As `Step.clean`."""
        return None if any(getattr(draft, role) is None for role in self._roles) else False


STEPS: Final[dict[str, type[Step]]] = {
    step.name: step for step in (ParseCreated, DropRetweets, RemoveLinks, ShortenSource, DropDuplicates, DropMissing)
}
PRESETS: Final = {"tweets": tuple(STEPS), "none": ()}
_OF_TWEETS: Final = frozenset({"id_str", "is_retweet", "created_at"})


def usual_steps(columns: Iterable[str]) -> tuple[str, ...]:
    """The steps for a file of these columns where none are named: all for an archive of tweets, else times alone."""
    return PRESETS["tweets"] if set(columns) >= _OF_TWEETS else (ParseCreated.name,)


def steps_of(names: Sequence[str], roles: Iterable[str]) -> list[Step]:
    """New steps, by names or presets; `roles` are those that the file has columns for. Raises `SettingsError`."""
    wanted = dict.fromkeys(step for name in names for step in PRESETS.get(name, (name,)))
    unknown = [name for name in wanted if name not in STEPS]
    if unknown:
        raise SettingsError(
            f"no cleaning step {unknown[0]!r}; there are {', '.join(STEPS)}, and the presets {', '.join(PRESETS)}"
        )
    return [DropMissing(roles) if name == DropMissing.name else STEPS[name]() for name in wanted]


def as_time(draft: Draft) -> datetime | None:
    """The draft's time, where it was read."""
    return draft.created if isinstance(draft.created, datetime) else None

"""Cleaning of texts: named steps, each of which counts the rows that it changed and dropped.

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
    """A cleaning step. Steps are stateful (duplicates are remembered), so each load makes its own."""

    name: ClassVar[str]
    does: ClassVar[str]
    """Description for the help text."""

    def __init__(self) -> None:
        self.changed = 0
        """Rows that it changed so far."""
        self.dropped = 0
        """Rows that it dropped so far."""

    def __call__(self, draft: Draft) -> bool:
        """Clean the draft in place and count the outcome; return False if the draft is dropped."""
        kept = self.clean(draft)
        if kept is None:
            self.dropped += 1
        elif kept:
            self.changed += 1
        return kept is not None

    @abstractmethod
    def clean(self, draft: Draft) -> bool | None:
        """Clean the draft in place; return whether it changed, or None to drop it."""


class ParseCreated(Step):
    """Parses the time of creation; a value that is not a time becomes a missing value."""

    name = "parse-created"
    does = "parse the time of creation; a value that cannot be parsed becomes a missing value"

    def clean(self, draft: Draft) -> bool:
        """Parse `created`."""
        before = draft.created
        draft.created = time_or_none(before)
        return draft.created != before


class DropRetweets(Step):
    """Drops retweets, by the column `is_retweet`."""

    name = "drop-retweets"
    does = "drop rows whose column is_retweet is true"

    def clean(self, draft: Draft) -> bool | None:
        """Drop the draft if `is_retweet` is true."""
        return None if str(draft.metadata.get("is_retweet")).lower() in {"true", "1"} else False


class RemoveLinks(Step):
    """Removes links. The spaces around a link stay, so that texts that differ only in these remain different."""

    name = "remove-links"
    does = "remove links: what begins with http or www, up to the next space"

    def clean(self, draft: Draft) -> bool:
        """Remove links from the text."""
        before = draft.text
        draft.text = None if before is None else _LINK.sub("", before)
        return draft.text != before


class ShortenSource(Step):
    """Shortens `Twitter for iPhone` to `iPhone`."""

    name = "shorten-source"
    does = 'remove "Twitter for " from the source'

    def clean(self, draft: Draft) -> bool:
        """Remove `Twitter for ` from the source."""
        before = draft.source
        draft.source = None if before is None else before.replace("Twitter for ", "")
        return draft.source != before


class DropDuplicates(Step):
    """Drops rows with a duplicate text; the first row stays."""

    name = "drop-duplicates"
    does = "drop rows whose text is the same as that of an earlier row"

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[bytes] = set()

    def clean(self, draft: Draft) -> bool | None:
        """Drop the draft if its text was seen before."""
        if draft.text is None:
            return False
        mark = blake2b(draft.text.encode(errors="surrogatepass"), digest_size=8).digest()
        if mark in self._seen:
            return None
        self._seen.add(mark)
        return False


class DropMissing(Step):
    """Drops rows with missing values. An empty text is a value, as it is in pandas, which the paper used."""

    name = "drop-missing"
    does = "drop rows with a missing text, id, time, source or language, if the file has a column for it"

    def __init__(self, roles: Iterable[str] = ("id", "text")) -> None:
        super().__init__()
        self._roles = tuple(roles)

    def clean(self, draft: Draft) -> bool | None:
        """Drop the draft if one of its roles is missing."""
        return None if any(getattr(draft, role) is None for role in self._roles) else False


STEPS: Final[dict[str, type[Step]]] = {
    step.name: step for step in (ParseCreated, DropRetweets, RemoveLinks, ShortenSource, DropDuplicates, DropMissing)
}
PRESETS: Final = {"tweets": tuple(STEPS), "none": ()}
_OF_TWEETS: Final = frozenset({"id_str", "is_retweet", "created_at"})


def default_steps(columns: Iterable[str]) -> tuple[str, ...]:
    """Return the default steps for a file with these columns: all for a tweet archive, else only `parse-created`."""
    return PRESETS["tweets"] if set(columns) >= _OF_TWEETS else (ParseCreated.name,)


def steps_of(names: Sequence[str], roles: Iterable[str]) -> list[Step]:
    """Make steps from names of steps or presets.

    Args:
        names: Names of steps or presets; duplicates are ignored.
        roles: Roles that the file has columns for, such as `text` and `created`.

    Raises:
        SettingsError: A name is unknown; the message lists the known ones.
    """
    wanted = dict.fromkeys(step for name in names for step in PRESETS.get(name, (name,)))
    unknown = [name for name in wanted if name not in STEPS]
    if unknown:
        raise SettingsError(
            f"no cleaning step {unknown[0]!r}; the steps are {', '.join(STEPS)}, and the presets {', '.join(PRESETS)}"
        )
    return [DropMissing(roles) if name == DropMissing.name else STEPS[name]() for name in wanted]


def as_time(draft: Draft) -> datetime | None:
    """Return the draft's time, or None if it was not parsed."""
    return draft.created if isinstance(draft.created, datetime) else None

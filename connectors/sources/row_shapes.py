"""What rows of a file are: posts as they stand, a dump of Reddit, a chat, or a table whose columns have to be found."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from connectors.services import reddit
from connectors.services.listing import PostBody, posts_of, why_strange
from connectors.sources.chat_exports import discord_posts, telegram_posts
from connectors.sources.column_mapping import ChosenColumn, ColumnMapping, InputRow
from connectors.sources.zeeschuimer import PLATFORMS, collected_posts, is_collected

_STRANGE: Final = (ValueError, TypeError, OverflowError, OSError, AttributeError)
_PLACE: Final = "data of this item"


class RowShape(ABC):
    """What becomes of a row."""

    name: ClassVar[str]
    """For people."""

    @property
    def fields(self) -> dict[str, str]:
        """The input's fields by those of a post; empty where that is no matter of names."""
        return {}

    @property
    def own(self) -> dict[str, str]:
        """Type of each custom column, by its name."""
        return {}

    @abstractmethod
    def posts(self, row: InputRow) -> Sequence[PostBody] | str:
        """The posts of a row, or why it is none."""


class AsItIs(RowShape):
    """Posts that have the fields of a post."""

    name = "posts as they stand"

    def posts(self, row: InputRow) -> Sequence[PostBody]:
        """The row."""
        return [row]


class Mapped(RowShape):
    """Rows whose columns mean what their names say."""

    name = "rows by the names of their columns"

    def __init__(self, mapping: ColumnMapping, rows: Sequence[InputRow] = ()) -> None:
        """Make it of a mapping; where some of `rows` have an image, a row without one is a text."""
        self.mapping = mapping
        self._has_images = any(body["url"] for row in rows for body in mapping.posts(row))

    @property
    def fields(self) -> dict[str, str]:
        """As they were found."""
        return self.mapping.fields

    @property
    def own(self) -> dict[str, str]:
        """As they were chosen, and of a table its other columns."""
        return self.mapping.own

    def posts(self, row: InputRow) -> Sequence[PostBody] | str:
        """One for each image; what has none says so."""
        found = self.mapping.posts(row)
        return found if found[0]["url"] or not self._has_images else "text"


class RedditDump(RowShape):
    """Posts of Reddit's, as Pushshift and Arctic Shift keep them, with galleries and crossposts."""

    name = "a dump of Reddit"

    def posts(self, row: InputRow) -> Sequence[PostBody] | str:
        """One for each image; what is none says so."""
        if not row.get("id") or "title" not in row:
            return "other"  # a comment
        try:
            data = _known(row)
            data["created_utc"] = created = float(data.get("created_utc") or 0)
            if "crosspost_parent_list" in data:
                data["crosspost_parent_list"] = [_known(it) for it in data["crosspost_parent_list"]]
            found = reddit.look_at_post(data)
            if isinstance(found, str):
                return found
            seen = float(row.get("retrieved_on") or row.get("retrieved_utc") or created)
            return posts_of(found, "reddit", datetime.fromtimestamp(seen, UTC))
        except _STRANGE as error:
            return [{"item": dict(row), "wrong": why_strange(error)}]


def _known(row: InputRow) -> dict[str, Any]:
    """The fields that are read of a post; some years of the dumps have null in any."""
    return {name: value for name in reddit.FIELDS if (value := row.get(name)) is not None}


class ChatExport(RowShape):
    """Messages of Telegram Desktop's export, or of DiscordChatExporter's."""

    name = "messages of a chat"

    def posts(self, row: InputRow) -> Sequence[PostBody] | str:
        """One for each image; what is none says so."""
        return discord_posts(row) if "attachments" in row else telegram_posts(row)


class Collected(RowShape):
    """Items that Zeeschuimer collected, in the platforms' own forms."""

    name = f"items of Zeeschuimer, from {', '.join(PLATFORMS)}"

    def posts(self, row: InputRow) -> Sequence[PostBody] | str:
        """One for each image; what is none says so."""
        if not is_collected(row):
            return "other"
        try:
            return collected_posts(row)
        except LookupError as error:
            return [{"item": dict(row), "wrong": f"{_PLACE} has no {error}, which it had when its form was last known"}]
        except _STRANGE as error:
            return [{"item": dict(row), "wrong": f"{_PLACE}: {why_strange(error)}"}]


_REDDIT: Final = frozenset({"subreddit", "permalink", "created_utc", "id"})


def shape_of(rows: Sequence[InputRow], columns: Sequence[ChosenColumn], *, is_table: bool) -> RowShape:
    """What the rows are.

    Args:
        rows: Some of them.
        columns: What the settings say.
        is_table: Whether all values may be texts, so that each has to be read.
    """
    if not columns and rows and sum(row.keys() >= _REDDIT and "global_id" not in row for row in rows) * 2 > len(rows):
        return RedditDump()
    if not columns and rows and all(isinstance(row.get("chat"), dict) for row in rows):
        return ChatExport()
    if not columns and any(is_collected(row) for row in rows):
        return Collected()
    mapping = ColumnMapping(rows, columns, is_table=is_table)
    if columns or is_table:
        return Mapped(mapping, rows)
    if any("global_id" in row for row in rows) or "url" not in mapping.fields:
        return AsItIs()
    return Mapped(mapping, rows)

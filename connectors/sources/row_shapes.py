"""Shapes of rows: posts, a dump of Reddit, a chat export, items of Zeeschuimer, or a table with columns to map."""

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
    """Converts rows of one format to posts."""

    name: ClassVar[str]
    """Description for users."""

    @property
    def fields(self) -> dict[str, str]:
        """Return the input's fields by name of the post's fields; empty if the format is fixed."""
        return {}

    @property
    def own(self) -> dict[str, str]:
        """Return the type of each custom column, by name."""
        return {}

    @abstractmethod
    def posts(self, row: InputRow) -> Sequence[PostBody] | str:
        """Return the posts of a row, or the reason why there are none."""


class AsItIs(RowShape):
    """Rows that already have the fields of a post."""

    name = "posts as they stand"

    def posts(self, row: InputRow) -> Sequence[PostBody]:
        """Return the row itself."""
        return [row]


class Mapped(RowShape):
    """Rows mapped by their column names."""

    name = "rows by the names of their columns"

    def __init__(self, mapping: ColumnMapping, rows: Sequence[InputRow] = ()) -> None:
        """Use a mapping; if any of `rows` has an image, rows without one are skipped as "text"."""
        self.mapping = mapping
        self._has_images = any(body["url"] for row in rows for body in mapping.posts(row))

    @property
    def fields(self) -> dict[str, str]:
        """Return the fields that the mapping found."""
        return self.mapping.fields

    @property
    def own(self) -> dict[str, str]:
        """Return the custom columns: the chosen ones, and the other columns of a table."""
        return self.mapping.own

    def posts(self, row: InputRow) -> Sequence[PostBody] | str:
        """Return one post per image, or "text" if there is none."""
        found = self.mapping.posts(row)
        return found if found[0]["url"] or not self._has_images else "text"


class RedditDump(RowShape):
    """Reddit posts as Pushshift and Arctic Shift store them, with galleries and crossposts."""

    name = "a dump of Reddit"

    def posts(self, row: InputRow) -> Sequence[PostBody] | str:
        """Return one post per image, or the reason why there is none."""
        if not row.get("id") or "title" not in row:
            return "other"  # a comment
        try:
            data = _known(row)
            data["created_utc"] = created = float(data.get("created_utc") or 0)
            if "crosspost_parent_list" in data:
                data["crosspost_parent_list"] = [_known(it) for it in data["crosspost_parent_list"]]
            found = reddit.parse_fields(data)
            if isinstance(found, str):
                return found
            seen = float(row.get("retrieved_on") or row.get("retrieved_utc") or created)
            return posts_of(found, "reddit", datetime.fromtimestamp(seen, UTC))
        except _STRANGE as error:
            return [{"item": dict(row), "wrong": why_strange(error)}]


def _known(row: InputRow) -> dict[str, Any]:
    """Return the fields that are read, without nulls, which some years of the dumps have in any field."""
    return {name: value for name in reddit.FIELDS if (value := row.get(name)) is not None}


class ChatExport(RowShape):
    """Messages exported by Telegram Desktop or DiscordChatExporter."""

    name = "messages of a chat"

    def posts(self, row: InputRow) -> Sequence[PostBody] | str:
        """Return one post per image, or the reason why there is none."""
        return discord_posts(row) if "attachments" in row else telegram_posts(row)


class Collected(RowShape):
    """Items that Zeeschuimer collected, in each platform's format."""

    name = f"items of Zeeschuimer, from {', '.join(PLATFORMS)}"

    def posts(self, row: InputRow) -> Sequence[PostBody] | str:
        """Return one post per image, or the reason why there is none."""
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
    """Determine the shape of rows.

    Args:
        rows: A sample.
        columns: Columns from the settings.
        is_table: Whether the rows come from a table, whose values may all be strings that need parsing.
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

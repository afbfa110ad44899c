"""Map the rows of a place to posts, by their columns or by the format of another service."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final

import orjson

from connectors.sources.column_mapping import InputRow
from connectors.sources.parse import MAX_BYTES
from connectors.sources.removal_form import is_removal
from connectors.sources.row_shapes import AsItIs, RowShape
from connectors.sources.source import Place, PlacedSource, Position, Reader, ReaderAround, Unit
from connectors.sources.split_messages import unpacked
from core.json_text import json_of
from core.records import Message
from core.telemetry import SKIPPED

_FILES: Final = "files"
"""Label of the metric of skipped rows."""

Look = Callable[[], RowShape | None]
"""Returns the shape of the rows, or None if there are none yet."""


class MappedPlace(Place):
    """A place whose rows are mapped to posts.

    Args:
        place: The inner place.
        look: Returns the shape of its rows.
        check: Raises `WorldError` if no row can become a post.
    """

    def __init__(self, place: Place, look: Look, check: Callable[[], None]) -> None:
        self.name = place.name
        self._place = place
        self._look = look
        self._check = check

    @property
    def shape(self) -> RowShape:
        """Return the shape of its rows."""
        return self._look() or AsItIs()

    def check(self) -> None:
        """Raise `WorldError` if no row can become a post."""
        self._check()
        self._place.check()

    def owns_positions(self, positions: Sequence[Position]) -> bool | None:
        """Return the result of the inner place."""
        return self._place.owns_positions(positions)

    def was_called(self, name: str, positions: Sequence[Position]) -> bool:
        """Return the result of the inner place, whose name this one has."""
        return self._place.was_called(name, positions)

    def part_numbers(self, positions: Sequence[Position]) -> Iterable[int]:
        """Return the partitions of the inner place."""
        return self._place.part_numbers(positions)

    def open(self, number: int, resume: Position | None, positions: Sequence[Position]) -> Reader:
        """Read the posts of a partition."""
        return _MappedReader(self._place.open(number, resume, positions), self._look)


class MappedSource(PlacedSource):
    """A source whose messages are mapped to posts by a shape that is known in advance."""

    def __init__(self, inner: PlacedSource, shape: RowShape) -> None:
        self._inner = inner
        self._shape = shape

    def parts(self) -> list[str]:
        """Return the partitions of the inner source."""
        return self._inner.parts()

    def places(self) -> list[MappedPlace]:
        """Return the places of the inner source, mapped to posts."""
        return [MappedPlace(it, lambda: self._shape, lambda: None) for it in self._inner.places()]

    def open(self, part: str, resume: Position | None) -> Reader:
        """Read the posts of a partition."""
        return _MappedReader(self._inner.open(part, resume), lambda: self._shape)


class _MappedReader(ReaderAround):
    def __init__(self, reader: Reader, look: Look) -> None:
        super().__init__(reader)
        self._look = look
        self._shape: RowShape | None = None

    def read(self) -> Unit | None:
        unit = self._inner.read()
        if unit is None or not unit.messages:
            return unit
        self._shape = self._shape or self._look() or AsItIs()
        if isinstance(self._shape, AsItIs):
            return unit
        return replace(unit, messages=[post for it in unit.messages for post in mapped(it, self._shape)])


def mapped(message: Message, shape: RowShape) -> list[Message]:
    """Map the rows in a message to posts; invalid rows are left unchanged."""
    made = []
    for part, row in rows_in(message):
        if row is None or "wrong" in row or is_removal(row):
            made.append(part)
            continue
        found = shape.posts(row)
        if isinstance(found, str):
            SKIPPED.labels(_FILES, found).inc()
        else:
            values = [orjson.dumps(body) for body in found]
            names = [part.origin] if len(values) == 1 else [f"{part.origin}[{n}]" for n in range(len(values))]
            made += [Message(value, name, part.key, part.headers) for value, name in zip(values, names, strict=True)]
    return made


def rows_in(message: Message) -> list[tuple[Message, InputRow | None]]:
    """Split a message into its rows, each with a message of its own; None for an invalid row."""
    row = row_in(message)
    parts = [message] if row is not None else unpacked(message, is_bad=lambda part: row_in(part) is None)
    return [(part, row if part is message else row_in(part)) for part in parts]


def row_in(message: Message) -> InputRow | None:
    """Parse the JSON object in a message; None if there is none, or if it is too large."""
    if len(message.value) > MAX_BYTES:
        return None
    try:
        row = json_of(message.value)
    except orjson.JSONDecodeError:
        return None
    return row if isinstance(row, dict) else None


def why_no_images(what: str, rows: Sequence[InputRow], shape: RowShape) -> str:
    """Explain why none of the rows yields a post with an image, with the names of the columns; "" if one does."""
    if not rows or isinstance(shape, AsItIs):
        return ""
    for row in rows:
        if is_removal(row):
            return ""
        found = shape.posts(row)
        if isinstance(found, str) or any(body.get("url") for body in found):  # skipped for a known reason
            return ""
    columns = ", ".join(list(dict.fromkeys(name for row in rows for name in row))[:40])
    used = ", ".join(f"{name}={field}" for name, field in shape.fields.items()) or "none"
    return (
        f"{what} has no known column with images: its columns are {columns}; used are {used}. "
        "Name the column with URLs of images: --column url=COLUMN"
    )

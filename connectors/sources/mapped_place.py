"""A place of which the rows become posts on their way: as their columns say, or as another service keeps its posts."""

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
"""As the metric of what is skipped names them."""

Look = Callable[[], RowShape | None]
"""Says what rows are, where there are any yet."""


class MappedPlace(Place):
    """A place, read as posts.

    Args:
        place: What is read.
        look: Says what its rows are.
        check: Raises `WorldError` where they are none that can be used.
    """

    def __init__(self, place: Place, look: Look, check: Callable[[], None]) -> None:
        self.name = place.name
        self._place = place
        self._look = look
        self._check = check

    @property
    def shape(self) -> RowShape:
        """What its rows are."""
        return self._look() or AsItIs()

    def check(self) -> None:
        """Raise `WorldError` where no row can become a post."""
        self._check()
        self._place.check()

    def knows(self, positions: Sequence[Position]) -> bool | None:
        """As the place does."""
        return self._place.knows(positions)

    def was(self, name: str, positions: Sequence[Position]) -> bool:
        """As the place was."""
        return self._place.was(name, positions)

    def numbers(self, positions: Sequence[Position]) -> Iterable[int]:
        """As many as the place has."""
        return self._place.numbers(positions)

    def open(self, number: int, resume: Position | None, positions: Sequence[Position]) -> Reader:
        """Read a part as posts."""
        return _MappedReader(self._place.open(number, resume, positions), self._look)


class MappedSource(PlacedSource):
    """A source whose messages become posts by a shape that is known before any of them is seen."""

    def __init__(self, inner: PlacedSource, shape: RowShape) -> None:
        self._inner = inner
        self._shape = shape

    def parts(self) -> list[str]:
        """Those of the inner source."""
        return self._inner.parts()

    def places(self) -> list[MappedPlace]:
        """Those of the inner source, read as posts."""
        return [MappedPlace(it, lambda: self._shape, lambda: None) for it in self._inner.places()]

    def open(self, part: str, resume: Position | None) -> Reader:
        """Read a part as posts."""
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
    """The posts in a message of one row or of several; what is no row stays as it is."""
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
    """The rows in a message, each as a message of its own; None for what is no row."""
    row = row_in(message)
    parts = [message] if row is not None else unpacked(message, is_bad=lambda part: row_in(part) is None)
    return [(part, row if part is message else row_in(part)) for part in parts]


def row_in(message: Message) -> InputRow | None:
    """The object in a message; None where there is none, or one that is too large."""
    if len(message.value) > MAX_BYTES:
        return None
    try:
        row = json_of(message.value)
    except orjson.JSONDecodeError:
        return None
    return row if isinstance(row, dict) else None


def why_no_images(what: str, rows: Sequence[InputRow], shape: RowShape) -> str:
    """Why not one of some rows becomes a post with an image, with the names of the columns; empty where one does."""
    if not rows or isinstance(shape, AsItIs):
        return ""
    for row in rows:
        if is_removal(row):
            return ""
        found = shape.posts(row)
        if isinstance(found, str) or any(body.get("url") for body in found):  # what is skipped is known
            return ""
    columns = ", ".join(list(dict.fromkeys(name for row in rows for name in row))[:40])
    used = ", ".join(f"{name}={field}" for name, field in shape.fields.items()) or "none"
    return (
        f"{what} has no column of images that is known: its columns are {columns}; used are {used}. "
        "Say which one holds addresses of images: --column url=COLUMN"
    )

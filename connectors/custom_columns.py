"""Custom columns of the store: those that `--column` names, and columns of tables that memewax does not know."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from connectors.chosen_endpoints import WriteSettings, sources_of
from connectors.sources.column_mapping import chosen_columns, mapping_as_said
from connectors.sources.mapped_place import MappedPlace
from core.columns import Column, Flag, Integer, Number, Table, Text, Type
from core.telemetry import log

_MOST: Final = 100
_MOST_PLACES: Final = 50
"""Files of a folder that are searched for custom columns."""
_NAME: Final = re.compile(r"\w[\w -]{0,99}")
_TYPES: Final[dict[str, Type]] = {
    "text": Text(),
    "int": Integer(),
    "float": Number(),
    "bool": Flag(),
    "time": Text(),
}
"""Column types by name; a time is stored as ISO 8601 text, like the other times of a record."""


def with_custom_columns(table: Table, settings: WriteSettings) -> Table:
    """Add up to 100 custom columns of the sources to a table; the rest stays in `extra`. Raises as the sources do."""
    ours = {column.name for column in table.columns}
    found = {name: kind for name, kind in _custom_types(settings).items() if name not in ours and _NAME.fullmatch(name)}
    if len(found) > _MOST:
        log.warning("too many custom columns: the rest stays in extra", columns=_MOST)
    custom = [_column(name, kind) for name, kind in list(found.items())[:_MOST]]
    return replace(table, columns=(*table.columns, *custom))


def _custom_types(settings: WriteSettings) -> dict[str, str]:
    """Return the types of custom columns by name; a column whose type differs between files becomes text."""
    found: dict[str, str] = {}
    for types in (*(place.shape.own for place in _places(settings)), _of_topics(settings)):
        for name, kind in types.items():
            found[name] = kind if found.get(name, kind) == kind else "text"
    return found


def _of_topics(settings: WriteSettings) -> Mapping[str, str]:
    """Return the types that `--column` gives for topics: other fields of messages do not become columns."""
    has_topics = bool(settings.source) and any(it.topic is not None for it in sources_of(settings))
    return mapping_as_said(chosen_columns(settings.columns)).own if has_topics and settings.columns else {}


def _places(settings: WriteSettings) -> Iterable[MappedPlace]:
    for it in sources_of(settings) if settings.source else ():
        if it.path is not None:
            places = it.source(settings.options_of(it), settings).places()
            yield from (place for place in places[:_MOST_PLACES] if isinstance(place, MappedPlace))


def _column(name: str, kind: str) -> Column:
    return Column(name, _TYPES[kind], "A custom column", is_custom=True)

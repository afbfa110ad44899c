"""Values of columns that a user added, as their type wants them."""

from collections.abc import Mapping
from typing import Any

import orjson
import pyarrow as pa

from connectors.sinks.sink import Row
from core.telemetry import MISFITS

_SMALLEST, _LARGEST = -(2**63), 2**63


def with_own_values(row: Row, own: Mapping[str, pa.DataType]) -> Row:
    """A row with those fields of its `extra` in columns that a user added; one that does not fit is null."""
    if not own:
        return row
    extra = dict(row["extra"])
    values = {name: fitting(name, extra.pop(name, None), type_) for name, type_ in own.items()}
    return {**row, **values, "extra": extra}


def fitting(column: str, value: Any, type_: pa.DataType) -> Any:
    """The value where it fits the type, or means the same there; else None, which is counted."""
    if value is None:
        return None
    found = _fitting(value, type_)
    if found is None:
        MISFITS.labels(column).inc()
    return found


def _fitting(value: Any, type_: pa.DataType) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if pa.types.is_boolean(type_):
        return value if isinstance(value, bool) else None
    if pa.types.is_floating(type_):
        return float(value) if is_number else None
    if pa.types.is_integer(type_):
        is_whole = is_number and value == value // 1 and _SMALLEST <= value < _LARGEST
        return int(value) if is_whole else None
    return value if isinstance(value, str) else orjson.dumps(value).decode()

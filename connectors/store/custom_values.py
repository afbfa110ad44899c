"""Conversion of values to the types of custom columns."""

from collections.abc import Mapping
from typing import Any

import orjson
import pyarrow as pa

from connectors.sinks.sink import Row
from core.telemetry import MISFITS

_SMALLEST, _LARGEST = -(2**63), 2**63


def with_custom_values(row: Row, custom: Mapping[str, pa.DataType]) -> Row:
    """Return a row with the custom columns moved out of its `extra`; a value of another type becomes null."""
    if not custom:
        return row
    extra = dict(row["extra"])
    values = {name: fitting(name, extra.pop(name, None), type_) for name, type_ in custom.items()}
    return {**row, **values, "extra": extra}


def fitting(column: str, value: Any, type_: pa.DataType) -> Any:
    """Convert a value to a column's type without loss; count a misfit in the metrics and return None."""
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

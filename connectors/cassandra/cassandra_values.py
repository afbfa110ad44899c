"""Conversion between values of rows and values of CQL columns."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import orjson

from core.columns import AnyJson, Binary, Flag, Integer, ListOf, Number, Text, Type, VectorOf
from core.telemetry import log
from core.untrusted_text import shortened

_TEXTS: Final = ListOf(Text())
_LEAST_LENGTH: Final = 1e-6
"""Minimum norm of a vector. A shorter one has no direction, and an index over cosine similarity rejects it."""


def to_cql(column: str, type_: Type, value: Any) -> Any:
    """Convert a value for a column of this type; log a warning and return None if the column cannot hold it."""
    if value is None:
        return None
    try:
        return _converted(type_, value)
    except (TypeError, ValueError, OverflowError, AttributeError) as error:
        log.warning("a value cannot be stored and is left out", column=column, error=shortened(str(error), 200))
        return None


def from_cql(type_: Type, value: Any) -> Any:
    """Convert a stored value back: vectors to lists of floats, nested values to lists and dicts.

    Columns of type `AnyJson` stay text, as in other stores.
    """
    if value is None or isinstance(type_, Text | AnyJson | Integer | Number | Flag | Binary):
        return value
    if isinstance(type_, VectorOf):
        return [float(it) for it in value]
    return list(value) if type_ == _TEXTS else orjson.loads(value)


def _converted(type_: Type, value: Any) -> Any:
    convert = _CONVERTERS.get(type(type_))
    if convert is not None and (type(type_) is not ListOf or type_ == _TEXTS):
        return convert(type_, value)
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY).decode()


def _text(_: Any, value: str) -> str:
    value.encode()  # reject lone surrogates here, not in the middle of a write
    return value


def _integer(type_: Integer, value: Any) -> int:
    whole = int(value)
    if whole != value or not -(2 ** (type_.bits - 1)) <= whole < 2 ** (type_.bits - 1):
        raise ValueError(f"{value!r} is not an integer of {type_.bits} bits")
    return whole


def _vector(type_: VectorOf, value: Any) -> list[float]:
    vector = np.asarray(value, np.float32)
    length = float(np.linalg.norm(vector))
    if vector.shape != (type_.dimension,) or not math.isfinite(length) or length < _LEAST_LENGTH:
        raise ValueError(
            f"a vector of shape {vector.shape} and length {length} is not a finite, nonzero vector of {type_.dimension}"
        )
    numbers: list[float] = vector.tolist()
    return numbers


_CONVERTERS: Final[Mapping[type, Callable[[Any, Any], Any]]] = {
    Text: _text,
    Integer: _integer,
    Number: lambda _, value: float(value),
    Flag: lambda _, value: bool(value),
    Binary: lambda _, value: bytes(value),
    VectorOf: _vector,
    ListOf: lambda _, value: [_text(None, it) for it in value],
}

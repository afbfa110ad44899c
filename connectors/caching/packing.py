"""Serialise model results as JSON; not as pickle, since reading a file must not run code."""

from base64 import b64decode, b64encode
from typing import Any, Final

import numpy as np
import orjson

from core.snapshot_values import from_builtins, to_builtins

_ARRAY: Final = "~array"
_BYTES: Final = "~bytes"


def packed(value: Any) -> bytes:
    """Serialise plain values, records, arrays and bytes; raises `TypeError` for anything else."""
    return orjson.dumps(to_builtins(value), default=_encoded, option=orjson.OPT_PASSTHROUGH_DATACLASS)


def unpacked(data: bytes) -> Any:
    """Deserialise the output of `packed`; lists become tuples.

    Raises `ValueError`, `TypeError`, `KeyError` or `AttributeError` for other bytes.
    """
    return from_builtins(_decoded(orjson.loads(data)))


def _encoded(value: Any) -> Any:
    if isinstance(value, bytes):
        return {_BYTES: b64encode(value).decode()}
    if isinstance(value, np.ndarray):
        return {_ARRAY: [value.dtype.str, value.shape, b64encode(value.tobytes()).decode()]}
    if isinstance(value, np.floating | np.integer):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be cached")


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_decoded(item) for item in value)
    if not isinstance(value, dict):
        return value
    if _BYTES in value:
        return b64decode(value[_BYTES])
    if _ARRAY in value:
        kind, shape, data = value[_ARRAY]
        return np.frombuffer(b64decode(data), np.dtype(kind)).reshape(shape)
    return {key: _decoded(item) for key, item in value.items()}

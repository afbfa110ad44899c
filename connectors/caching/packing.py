"""Results of models as bytes and back: JSON, since what is read from a file is nothing to run."""

from base64 import b64decode, b64encode
from typing import Any, Final

import numpy as np
import orjson

from core.snapshot_values import from_builtins, to_builtins

_ARRAY: Final = "~array"
_BYTES: Final = "~bytes"


def packed(value: Any) -> bytes:
    """A record, or plain values with records, arrays and bytes in them; raises `TypeError` for anything else."""
    return orjson.dumps(to_builtins(value), default=_told, option=orjson.OPT_PASSTHROUGH_DATACLASS)


def unpacked(data: bytes) -> Any:
    """What `packed` was given, lists as tuples.

    Raises `ValueError`, `TypeError`, `KeyError` or `AttributeError` for other bytes.
    """
    return from_builtins(_made(orjson.loads(data)))


def _told(value: Any) -> Any:
    if isinstance(value, bytes):
        return {_BYTES: b64encode(value).decode()}
    if isinstance(value, np.ndarray):
        return {_ARRAY: [value.dtype.str, value.shape, b64encode(value.tobytes()).decode()]}
    if isinstance(value, np.floating | np.integer):
        return value.item()
    raise TypeError(f"{type(value).__name__} is nothing to keep")


def _made(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_made(item) for item in value)
    if not isinstance(value, dict):
        return value
    if _BYTES in value:
        return b64decode(value[_BYTES])
    if _ARRAY in value:
        kind, shape, data = value[_ARRAY]
        return np.frombuffer(b64decode(data), np.dtype(kind)).reshape(shape)
    return {key: _made(item) for key, item in value.items()}

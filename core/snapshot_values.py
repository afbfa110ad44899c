"""Converts records to builtins and back, since what is pickled into a recovery store must outlive the code.

A record becomes a dict with the name of its class and its fields. So a class may move, and gain fields that have a
default. Numbers, texts, bytes, datetimes and arrays are unchanged.
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Final

from core import records

_KIND: Final = "~record"
_RENAMED: Final = {"Side": "StageResult", "Failed": "Failure", "CachedPicture": "CachedImage"}
"""Old to new names of classes, in snapshots and caches of earlier versions."""
_RENAMED_FIELDS: Final = {"picture": "image", "sides": "results"}
"""Old to new names of fields, in snapshots of earlier versions."""
_MAPPING: Final = ""
"""Kind of a mapping that itself has the key `~record`: a post may have any field, and must not pose as a record."""


def to_builtins(value: Any) -> Any:
    """Convert every record in `value` to a dict."""
    if is_dataclass(value) and not isinstance(value, type):
        plain = {field.name: to_builtins(getattr(value, field.name)) for field in fields(value)}
        return {_KIND: type(value).__name__, **plain}
    if isinstance(value, Mapping):
        items = {key: to_builtins(item) for key, item in value.items()}
        return {_KIND: _MAPPING, "items": list(items.items())} if _KIND in items else items
    if isinstance(value, list | tuple):
        return type(value)(to_builtins(item) for item in value)
    return value


def from_builtins(value: Any) -> Any:
    """Restore the records that `to_builtins` converted; fields that no longer exist are dropped."""
    if isinstance(value, dict):
        items = {key: from_builtins(item) for key, item in value.items() if key != _KIND}
        if _KIND not in value:
            return items
        if value[_KIND] == _MAPPING:
            return dict(items["items"])
        name: str = value[_KIND]
        kind = getattr(records, _RENAMED.get(name, name))
        known = {field.name for field in fields(kind)}
        named = {_RENAMED_FIELDS.get(key, key): item for key, item in items.items()}
        return kind(**{key: item for key, item in named.items() if key in known})
    if isinstance(value, list | tuple):
        return type(value)(from_builtins(item) for item in value)
    return value

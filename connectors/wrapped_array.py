"""Arrays of objects wrapped in one object, like responses of APIs: `{"data": [{…}, …]}`."""

import io
from collections.abc import Iterator
from typing import IO, Any, Final

_NAMES: Final = frozenset({"data", "items", "posts", "results", "children", "rows", "entries", "response", "result"})
_OF_A_POST: Final = frozenset({"global_id", "url", "image_url"})
_MOST_NAMES: Final = 2
"""Maximum depth, as in `data.children` of Reddit's listings."""
_THING: Final = {"kind", "data"}


def wrapped_in(begin: bytes) -> str:
    """Return the dotted name of the array that an object wraps; empty if there is none or the object is a post.

    Args:
        begin: The beginning of the text.
    """
    import ijson

    name = ""
    try:
        for prefix, event, _ in ijson.parse(io.BytesIO(begin)):
            if prefix in _OF_A_POST and event in {"string", "number"}:
                return ""
            if name and prefix == f"{name}.item":
                if event == "start_map":
                    return name
                name = ""
            names = prefix.split(".")
            if event == "start_array" and len(names) <= _MOST_NAMES and _NAMES.issuperset(names):
                name = prefix
    except ijson.JSONError:  # the beginning is truncated
        pass
    return ""


def elements_in(stream: IO[bytes], name: str) -> Iterator[Any]:
    """Yield the elements of a named array, of Reddit's the inner `data`; raises `ValueError` if it is truncated."""
    import ijson

    try:
        for it in ijson.items(stream, f"{name}.item", use_float=True):
            is_thing = isinstance(it, dict) and it.keys() == _THING and isinstance(it["data"], dict)
            yield it["data"] if is_thing else it
    except ijson.JSONError as error:
        raise ValueError(str(error)) from None

"""Search for remnants of erased posts: in bytes of files, and in compressed, encoded or pickled values."""

import mmap
from base64 import b64decode, b64encode
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

_LEAST_BYTES: Final = 8
"""Shorter strings are not searched for in bytes: they would match by chance."""
_LONGEST_NEIGHBOUR: Final = 4096


@dataclass(frozen=True, slots=True)
class Remnant:
    """A place that still has a name that was searched for."""

    place: str
    """A file, a table, or a state in a recovery folder."""
    why: str
    until: str
    """When it will be removed, and by what."""


@dataclass(slots=True)
class LookedFor:
    """The names to search for: ids, URLs or captions.

    In values, a name does not match inside a longer word, as `1-a` in `11-a`. In bytes the start of a value is unknown,
    so longer words found in values are remembered, and a match inside one of them is ignored.
    """

    wanted: tuple[str, ...]
    _longer: set[bytes] = field(default_factory=set)

    def in_value(self, value: Any) -> bool:
        """Check whether a plain value, or anything nested in it, contains one of the names."""
        return any(self._in_text(it) for it in _texts(value))

    def in_file(self, path: Path) -> bool:
        """Check whether a file's bytes contain one of the names, as UTF-8, UTF-32, JSON or base64; raises `OSError`."""
        if not path.stat().st_size:
            return False
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            forms = (form for name in self.wanted for form in _forms(name) if len(form) >= _LEAST_BYTES)
            return any(self._at(data, form) for form in forms)

    def _at(self, data: mmap.mmap, form: bytes) -> bool:
        place = data.find(form)
        while place >= 0:
            if not any(_is_within(data, place, form, longer) for longer in self._longer):
                return True
            place = data.find(form, place + 1)
        return False

    def _in_text(self, text: str) -> bool:
        found = False
        for name in self.wanted:
            start = text.find(name)
            while start >= 0:
                end = start + len(name)
                if not _goes_on(text[start - 1 : start], name[0]) and not _goes_on(text[end : end + 1], name[-1]):
                    found = True
                elif len(text) <= _LONGEST_NEIGHBOUR:
                    self._longer.add(text.encode(errors="surrogatepass"))
                start = text.find(name, start + 1)
        return found


def in_lines(path: Path, names: LookedFor) -> int:
    """Count the lines of a JSON Lines file that contain one of the names; raises `OSError`."""
    found = 0
    with path.open("rb") as file:
        for line in file:
            try:
                value = orjson.loads(line)
            except orjson.JSONDecodeError:
                value = line
            found += names.in_value(value)
    return found


def _goes_on(beside: str, edge: str) -> bool:
    return bool(beside) and beside.isalnum() and edge.isalnum()


def _is_within(data: mmap.mmap, place: int, form: bytes, longer: bytes) -> bool:
    start = longer.find(form)
    while start >= 0:
        begin = place - start
        if begin >= 0 and data[begin : begin + len(longer)] == longer:
            return True
        start = longer.find(form, start + 1)
    return False


def _forms(name: str) -> Iterator[bytes]:
    """Yield the encodings in which files may contain a name."""
    plain = name.encode(errors="surrogatepass")
    yield plain
    try:
        if (quoted := orjson.dumps(name)[1:-1]) != plain:
            yield quoted
    except TypeError:  # a surrogate, which JSON cannot encode
        pass
    yield name.encode("utf-32-le", errors="surrogatepass")
    for before in range(3):  # base64 maps 3 bytes to 4 characters: keep those that depend only on the name
        coded = b64encode(b"\0" * before + plain)
        yield coded[-(-8 * before // 6) : len(coded) // 4 * 4 - (4 if (before + len(plain)) % 3 else 0)]


def _texts(value: Any) -> Iterator[str]:
    """Yield all text in a plain value, including text in bytes, arrays and base64."""
    if isinstance(value, str):
        yield value
        if len(value) % 4 == 0 and (unpacked := _of_base64(value)) is not None:
            yield unpacked
    elif isinstance(value, bytes | bytearray):
        yield value.decode(errors="replace")
    elif isinstance(value, np.ndarray):
        if value.dtype.names or value.dtype.kind in "SV":
            yield value.tobytes().decode(errors="replace")
        elif value.dtype.kind in "OU":
            yield from _in_all(value.ravel().tolist())
    elif isinstance(value, Mapping):
        yield from _in_all(value.keys())
        yield from _in_all(value.values())
    elif is_dataclass(value) and not isinstance(value, type):
        yield from _in_all(getattr(value, it.name) for it in fields(value))
    elif isinstance(value, Collection):
        yield from _in_all(value)


def _in_all(values: Iterable[Any]) -> Iterator[str]:
    for it in values:
        yield from _texts(it)


def _of_base64(text: str) -> str | None:
    try:
        return b64decode(text, validate=True).decode(errors="replace")
    except ValueError:
        return None

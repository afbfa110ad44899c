"""Search for remnants of erased posts: in bytes of files, and in compressed, encoded or pickled values."""

import json
import mmap
import os
import re
from base64 import b64decode, b64encode
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final
from unicodedata import normalize

import numpy as np
import orjson

from connectors.sqlite_pages import is_split_in

_LEAST_BYTES: Final = 8
"""Shorter strings are not searched for in bytes: they would match by chance."""
_LONGEST_NEIGHBOUR: Final = 4096
_CODE: Final = re.compile(r"\\u[0-9a-fA-F]{4}")
_ESCAPED: Final = re.compile(rf"(?:{_CODE.pattern})+|\\[^u]")
_CHARACTERS: Final = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


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
    """The names to search for: ids, URLs or captions, each in its composed and its decomposed Unicode form.

    In values, a name does not match inside a longer word of ASCII letters and digits, as `1-a` in `11-a`; other scripts
    need not separate words. In bytes the start of a value is unknown, so longer words found in values are remembered,
    and a match inside one of them is ignored.
    """

    wanted: tuple[str, ...]
    _longer: set[bytes] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Add the other Unicode forms of the names."""
        forms = (form for it in self.wanted for form in (it, normalize("NFC", it), normalize("NFD", it)))
        self.wanted = tuple(dict.fromkeys(forms))

    def in_value(self, value: Any) -> bool:
        """Check whether a plain value, or anything nested in it, contains one of the names."""
        return any(self._in_text(it) for it in _texts(value))

    def in_file(self, path: Path) -> bool:
        """Check whether a file's bytes contain one of the names, as UTF-8, UTF-32, JSON or base64; raises `OSError`.

        A file that another process deletes meanwhile contains none.
        """
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return False
        with file:
            return bool(os.fstat(file.fileno()).st_size) and self._in_bytes(file)

    def _in_bytes(self, file: BinaryIO) -> bool:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            forms = (form for name in self.wanted for form in _forms(name) if len(form) >= _LEAST_BYTES)
            return any(self._at(data, form) or is_split_in(data, form) for form in forms)

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


def in_files(files: Iterable[Path], names: LookedFor, until: str) -> Iterator[Remnant]:
    """Yield the files whose bytes contain one of the names; raises `OSError`."""
    for file in files:
        if names.in_file(file):
            yield Remnant(str(file), "its bytes have it", until)


def in_lines(path: Path, names: LookedFor) -> int:
    """Count the lines of a JSON Lines file that contain one of the names; raises `OSError`.

    A file that another process deletes meanwhile contains none.
    """
    found = 0
    try:
        opened = path.open("rb")
    except FileNotFoundError:
        return 0
    with opened as file:
        for line in file:
            try:
                value = orjson.loads(line)
            except orjson.JSONDecodeError:
                value = line
            found += names.in_value(value)
    return found


def _goes_on(beside: str, edge: str) -> bool:
    return (beside + edge).isascii() and beside.isalnum() and edge.isalnum()


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
    for is_ascii in (False, True):
        quoted = json.dumps(name, ensure_ascii=is_ascii)[1:-1]
        escapes = {quoted, _CODE.sub(lambda it: it[0].upper().replace("U", "u", 1), quoted)}
        for it in escapes | {it.replace("/", "\\/") for it in escapes}:
            if (form := it.encode(errors="surrogatepass")) != plain:
                yield form
    yield name.encode("utf-32-le", errors="surrogatepass")
    for before in range(3):  # base64 maps 3 bytes to 4 characters: keep those that depend only on the name
        coded = b64encode(b"\0" * before + plain)
        yield coded[-(-8 * before // 6) : len(coded) // 4 * 4 - (4 if (before + len(plain)) % 3 else 0)]


def _texts(value: Any) -> Iterator[str]:
    """Yield all text in a plain value, including text in bytes, arrays and base64, and JSON within text."""
    if isinstance(value, str):
        yield from _with_unescaped(value)
        if len(value) % 4 == 0 and (unpacked := _of_base64(value)) is not None:
            yield from _with_unescaped(unpacked)
    elif isinstance(value, bytes | bytearray):
        yield from _with_unescaped(value.decode(errors="replace"))
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


def _with_unescaped(text: str) -> Iterator[str]:
    """Yield a text and, if it has escape sequences of JSON, the text without them: it may be an original message."""
    yield text
    if "\\" in text:
        yield _ESCAPED.sub(_character, text)


def _character(found: re.Match[str]) -> str:
    escape = found[0]
    if escape[1] == "u":
        return bytes.fromhex(escape.replace("\\u", "")).decode("utf-16-be", errors="replace")
    return _CHARACTERS.get(escape[1], escape[1])


def _of_base64(text: str) -> str | None:
    try:
        return b64decode(text, validate=True).decode(errors="replace")
    except ValueError:
        return None

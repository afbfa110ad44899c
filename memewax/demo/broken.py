"""Broken posts and images of the demo, each broken in a different way."""

import struct
import zlib
from dataclasses import dataclass
from typing import Any, Final

import orjson


@dataclass(frozen=True, slots=True)
class BrokenPost:
    """A way to break a good post: `fields` replace its own (None removes a field), or `line` replaces all of it."""

    kind: str
    fields: dict[str, Any] | None = None
    line: bytes | None = None


_HTML: Final = b"<!doctype html>\n<title>404</title>\n<h1>This image has moved</h1>\n"

BROKEN_POSTS: Final = (
    BrokenPost("not JSON", line=b'{"global_id": "1f9k2ab-reddit", "author": "mallow", "url": "images/1f9k2'),
    BrokenPost("not UTF-8", line=b'{"global_id": "1f9k2ac-reddit", "author": "Ren\xe9e", "url": "images/caf\xe9.jpg"}'),
    BrokenPost("not an object", line=b'"images/1f9k2ad-reddit.jpg"'),
    BrokenPost("no url", {"url": None}),
    BrokenPost("no global_id", {"global_id": None}),
    BrokenPost("score is a word", {"score": "many"}),
)
"""Lines that are not posts."""

BROKEN_IMAGES: Final = ("truncated", "HTML named .jpg", "missing", "0 bytes", "3.6 gigapixels by its header")
"""Kinds of broken images, for posts that are valid themselves."""


def broken_line(broken: BrokenPost, post: dict[str, Any]) -> bytes:
    """Return the line of a post, broken."""
    if broken.line is not None:
        return broken.line
    body = {**post, **(broken.fields or {})}
    return orjson.dumps({name: value for name, value in body.items() if value is not None})


def broken_image(kind: str, good: bytes) -> bytes | None:
    """Return the content of a broken image file, made from a good image's bytes; None for a missing file."""
    contents = {
        "truncated": good[: len(good) // 3],
        "HTML named .jpg": _HTML,
        "missing": None,
        "0 bytes": b"",
        "3.6 gigapixels by its header": _huge_png(60_000),
    }
    return contents[kind]


def _huge_png(side: int) -> bytes:
    """Make a PNG of some hundred bytes whose header claims `side` by `side` pixels (a decompression bomb)."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")

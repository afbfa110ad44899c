"""Metadata of an image from sidecar files and from the image itself: captions, authors and dates.

Sidecars: a text (`a.txt`, `a.png.txt`), JSON as gallery-dl and Google Takeout write it (`a.png.json`, `a.json`,
`a.png.supplemental-metadata.json`), XMP (`a.xmp`, `a.png.xmp`). Embedded: XMP and EXIF. The first
value found for a field wins.
"""

import html
import re
import struct
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final

import orjson
from PIL import Image

from core.json_text import json_of
from core.times import time_or_none

_MOST_BYTES: Final = 2**18
"""Maximum size of a sidecar file."""
_MOST_EMBEDDED: Final = 2**16
"""Maximum size of embedded metadata."""
_MOST_PARTS: Final = 64
_LONGEST: Final = 20_000
"""Maximum length of a caption, in characters."""
_LONGEST_NAME: Final = 46
"""Length to which Takeout cuts a name before `.json`."""
_NUMBERED: Final = re.compile(r"(.+)(\(\d+\))(\.\w+)")
_DESCRIPTIONS: Final = ("title", "description", "content", "caption", "text", "desc", "body")
_AUTHORS: Final = ("author", "artist", "uploader", "user", "username", "owner")
_DATES: Final = ("date", "created_at", "created_time", "created_utc", "timestamp", "published_at")
_PAGES: Final = ("post_url", "permalink", "page_url", "url")
_XMP_TEXT: Final = r"<(?:\w+:)?(?:Alt|Seq|Bag)>\s*<rdf:li[^>]*>([^<]*)</rdf:li>"
_XMP: Final = {
    "desc": re.compile(rf"<dc:(?:description|title)>\s*{_XMP_TEXT}"),
    "author": re.compile(rf"<dc:creator>\s*{_XMP_TEXT}"),
    "created_time": re.compile(
        r"""(?:photoshop:DateCreated|xmp:CreateDate|exif:DateTimeOriginal)(?:="|>)([^"<]{4,40})"""
    ),
}
_EXIF_DESCRIPTION: Final = 270
_EXIF_ARTIST: Final = 315
_EXIF_IFD: Final = 34665
_EXIF_DATE: Final = 36867
_EXIF_OFFSET: Final = 36881
_EXIF_HEAD: Final = b"Exif\0\0"
_XMP_HEAD: Final = b"http://ns.adobe.com/xap/1.0/\0"
_XMP_CHUNK: Final = b"XML:com.adobe.xmp\0\0\0\0\0"

ImageFacts = dict[str, Any]
"""Fields of a post from metadata."""


def sidecar_of(image: Path) -> ImageFacts:
    """Collect metadata of an image: some of `desc`, `author`, `created_time`, `permalink`, `tags`; never raises."""
    found: ImageFacts = {}
    for facts in _all_facts(image):
        found = {**facts, **found}
    return found


def _all_facts(image: Path) -> Iterator[ImageFacts]:
    names = (image.name, image.stem)
    for name in names:
        if text := _text(_read(image.with_name(f"{name}.txt"))).strip():
            yield {"desc": text[:_LONGEST]}
    for name in (*names, *_names_of_takeout(image.name)):
        if data := _read(image.with_name(f"{name}.json")):
            yield _of_json(data, image.name)
    for name in names:
        if data := _read(image.with_name(f"{name}.xmp")):
            yield _of_xmp(data)
    with suppress(OSError, ValueError, struct.error, SyntaxError):
        yield from _embedded(image)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError:
        return b""
    return data if len(data) <= _MOST_BYTES else b""


def _names_of_takeout(name: str) -> Iterator[str]:
    """Yield names, without `.json`, that Takeout may give a sidecar: long names are cut, a number `(1)` goes last."""
    numbered = _NUMBERED.fullmatch(name)
    image, number = (numbered[1] + numbered[3], numbered[2]) if numbered else (name, "")
    for written in (image, f"{image}.supplemental-metadata"):
        yield written[:_LONGEST_NAME] + number


def _text(data: bytes) -> str:
    """Decode a small text file: UTF-16 if it has a byte-order mark, otherwise UTF-8."""
    encoding = "utf-16" if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8-sig"
    return data.decode(encoding, errors="replace")


def _of_json(data: bytes, name: str) -> ImageFacts:
    try:
        fields = json_of(_text(data).encode())
    except orjson.JSONDecodeError:
        return {}
    if not isinstance(fields, dict) or "global_id" in fields:
        return {}
    texts = [fields[it].strip() for it in _DESCRIPTIONS if isinstance(fields.get(it), str)]
    texts = [text for text in dict.fromkeys(texts) if text and text != name]  # Takeout's title is the file name
    taken = fields.get("photoTakenTime")
    dates = [fields.get(it) for it in _DATES] + [taken.get("timestamp") if isinstance(taken, dict) else None]
    tags = fields.get("tags")
    found = {
        "desc": "\n".join(texts)[:_LONGEST],
        "author": next(filter(None, (_name(fields.get(it)) for it in _AUTHORS)), ""),
        "created_time": _time(*dates),
        "permalink": next((fields[it] for it in _PAGES if isinstance(fields.get(it), str)), ""),
        "tags": [it for it in tags if isinstance(it, str)] if isinstance(tags, list) else [],
    }
    return {field: value for field, value in found.items() if value}


def _name(value: Any) -> str:
    if isinstance(value, Mapping):
        value = value.get("name") or value.get("nick") or value.get("username")
    return value.strip() if isinstance(value, str) else ""


def _time(*values: Any) -> str:
    times = (time_or_none(it) for it in values if isinstance(it, str | int | float))
    return next((time.isoformat() for time in times if time is not None), "")


def _of_xmp(data: bytes) -> ImageFacts:
    text = _text(data)
    found = {field: html.unescape(it[1]).strip() for field, form in _XMP.items() if (it := form.search(text))}
    if "created_time" in found:
        found["created_time"] = _time(found["created_time"])
    return {field: value[:_LONGEST] for field, value in found.items() if value}


def _embedded(image: Path) -> Iterator[ImageFacts]:
    with image.open("rb") as file:
        head = file.read(12)
        if head.startswith(b"\xff\xd8"):
            file.seek(2)
            parts = _segments(file)
        elif head.startswith(b"\x89PNG"):
            file.seek(8)
            parts = _chunks(file, ">I4s", 4)
        elif head[:4] == b"RIFF" and head[8:] == b"WEBP":
            parts = _chunks(file, "<4sI", 0)
        else:
            return
        found = list(parts)
    for part in found:
        if part.startswith(_XMP_HEAD) or b"<x:xmpmeta" in part[:200]:
            yield _of_xmp(part)
    for part in found:
        if part.startswith((_EXIF_HEAD, b"II*\0", b"MM\0*")):
            yield _of_exif(part)


def _segments(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the APP1 segments (EXIF, XMP) of a JPEG, before its pixels."""
    for _ in range(_MOST_PARTS):
        marker = file.read(4)
        if len(marker) < 4 or marker[0] != 0xFF or marker[1] in {0xDA, 0xD9}:
            return
        size = struct.unpack(">H", marker[2:])[0] - 2
        if marker[1] == 0xE1:
            yield file.read(size)
        else:
            file.seek(size, 1)


def _chunks(file: IO[bytes], head: str, checksum: int) -> Iterator[bytes]:
    """Yield the EXIF and XMP chunks of a PNG or WebP."""
    for _ in range(_MOST_PARTS):
        data = file.read(8)
        if len(data) < 8:
            return
        first, second = struct.unpack(head, data)
        size, name = (first, second) if isinstance(first, int) else (second, first)
        padded = size if checksum else size + size % 2
        if name in {b"eXIf", b"EXIF", b"XMP ", b"iTXt"} and size <= _MOST_EMBEDDED:
            yield file.read(padded)[:size].removeprefix(_XMP_CHUNK)
            file.seek(checksum, 1)
        else:
            file.seek(padded + checksum, 1)


def _of_exif(data: bytes) -> ImageFacts:
    exif = Image.Exif()
    exif.load(data)
    detail = exif.get_ifd(_EXIF_IFD)
    date = re.sub(r"^(\d{4}):(\d\d):(\d\d)", r"\1-\2-\3", str(detail.get(_EXIF_DATE) or ""))
    offset = str(detail.get(_EXIF_OFFSET) or "")
    found = {
        "desc": str(exif.get(_EXIF_DESCRIPTION) or "").strip("\0 \n")[:_LONGEST],
        "author": str(exif.get(_EXIF_ARTIST) or "").strip("\0 \n")[:_LONGEST],
        "created_time": _time(date + offset, date),
    }
    return {field: value for field, value in found.items() if value}

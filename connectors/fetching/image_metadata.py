"""Strip everything from an image file that its pixels do not need: comments, profiles, thumbnails, further frames.

Pillow would read all of it and fail at any invalid part. Stripped, metadata of any size, however broken, costs nothing
and does not hide the image. Of EXIF only the orientation is used.
"""

import re
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Final

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_MOST_PARTS: Final = 100_000
"""Maximum number of chunks, segments or blocks in a file; encoders write a few thousand at most."""
_MOST_READS: Final = 200_000
_MOST_TAG_BYTES: Final = 2**16
"""Maximum size of a TIFF tag, and of EXIF in other formats."""
_MOST_OFFSET_BYTES: Final = 2**20
"""Maximum size of tags with offsets and lengths of strips: a quarter of a million strips."""
_OFFSETS: Final = frozenset({273, 279, 324, 325})
_TIFF_TAGS: Final = frozenset(
    {256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324, 325, 338, 339, 347}
    | {529, 530, 531, 532}
)
"""TIFF tags that describe the encoding of pixels, and the orientation."""
_ODD_TIFFS: Final = frozenset({b"MM\0+", b"II+\0", b"MM*\0", b"II\0*"})
_TYPE_BYTES: Final = (1, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4)
"""Size of one value of each TIFF type."""
_MOST_CUT: Final = 0.3
"""Largest missing share of a truncated WebP."""
_ORIENTATION: Final = 274
_MOST_TILE_PIXELS: Final = 2**26
_MOST_EXIFS: Final = 16
"""Maximum number of byte sequences in an AVIF that look like the start of EXIF; usually one, by chance two."""


class ImageMetadataError(ValueError):
    """A file has more parts or larger parts than any image needs."""


@dataclass(frozen=True, slots=True)
class Stripped:
    """A stripped file."""

    data: bytes
    orientation: int = 1
    """EXIF orientation, 1 to 8; 1 is upright. A TIFF keeps it in its data."""
    canvas: tuple[int, int] | None = None
    """Width and height of the image if its first frame covers only a part of it."""
    at: tuple[int, int] = (0, 0)
    """Left and top of that part, in pixels."""


class BoundedFile(BytesIO):
    """A file with a read budget, so that a parser cannot loop forever or read the same bytes again and again.

    A read beyond the budget raises `ImageMetadataError`.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._reads = _MOST_READS
        self._bytes = 4 * len(data) + 2**20

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to `size` bytes; raises `ImageMetadataError` if the budget is used up."""
        found = super().read(size)
        self._reads -= 1
        self._bytes -= len(found)
        if self._reads < 0 or self._bytes < 0:
            raise ImageMetadataError("it has far more small parts than an image needs")
        return found


def strip_metadata(data: bytes) -> Stripped:
    """Strip an image file; an unknown or broken one is returned whole. Raises `ImageMetadataError`."""
    if data[:4] in _ODD_TIFFS:
        raise ImageMetadataError("a BigTIFF (for files of more than 4 GiB) or an invalid TIFF")
    for pattern, made in _KINDS:
        if pattern.match(data):
            return made(data)
    return Stripped(data)


def orientation_of(exif: bytes) -> int:
    """Return the EXIF orientation, 1 to 8; 1 (upright) if there is none."""
    exif = exif.removeprefix(b"Exif\0\0")
    for tag, kind, count, order, value in _tags(exif):
        if tag == _ORIENTATION and kind == 3 and count == 1:
            (found,) = struct.unpack_from(order + "H", value)
            return found if 1 <= found <= 8 else 1
    return 1


# PNG


def _strip_png(data: bytes) -> Stripped:
    chunks = list(_chunks(data))
    kept = b"".join(_chunk(name, body) for name, body in chunks if name in {b"PLTE", b"tRNS"})
    exif = next((body for name, body in chunks if name == b"eXIf"), b"")
    frame, pixels = _first_frame(chunks)
    if not pixels or data[12:16] != b"IHDR":
        return Stripped(data)
    rest = kept + _chunk(b"IDAT", b"".join(pixels)) + _chunk(b"IEND", b"")
    if not frame:
        # keeps the header's checksum, which detects a broken header
        return Stripped(data[:33] + rest, orientation_of(exif))
    width, height, left, top = struct.unpack_from(">4I", frame, 4)
    head = _chunk(b"IHDR", struct.pack(">II", width, height) + data[24:29])
    return Stripped(_PNG + head + rest, orientation_of(exif), struct.unpack_from(">II", data, 16), (left, top))


def _first_frame(chunks: Sequence[tuple[bytes, bytes]]) -> tuple[bytes, list[bytes]]:
    """Return the control chunk (fcTL) of the first animation frame, and its compressed pixels.

    Without animation, or if the default image is the first frame, the control chunk is empty and the pixels are those
    of the default image. A default image that only serves programs without APNG support is not a frame.
    """
    names = [name for name, _ in chunks]
    still = [body for name, body in chunks if name == b"IDAT"]
    frames = [place for place, (name, body) in enumerate(chunks) if name == b"fcTL" and len(body) >= 26]
    if b"acTL" not in names or not frames or not still or frames[0] < names.index(b"IDAT"):
        return b"", still
    end = frames[1] if len(frames) > 1 else len(chunks)
    moving = [body[4:] for name, body in chunks[frames[0] : end] if name == b"fdAT"]
    return (chunks[frames[0]][1], moving) if moving else (b"", still)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield name and content of each chunk up to the end, or to where the file is truncated."""
    start = len(_PNG)
    for _ in range(_MOST_PARTS):
        if start + 8 > len(data):
            return
        length, name = struct.unpack_from(">I4s", data, start)
        if name == b"IEND":
            return
        yield name, data[start + 8 : start + 8 + length]
        start += 12 + length
    raise ImageMetadataError(f"a PNG of more than {_MOST_PARTS} chunks")


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


# JPEG, GIF, WebP


def _strip_jpeg(data: bytes) -> Stripped:
    kept = [data[:2]]
    exif = b""
    start = 2
    for _ in range(_MOST_PARTS):
        marker = data[start + 1 : start + 2]
        if data[start : start + 1] != b"\xff" or marker == b"\xda" or start + 4 > len(data):
            return Stripped(b"".join([*kept, data[start:]]), orientation_of(exif))
        if marker == b"\xff":  # fill byte
            start += 1
            continue
        (length,) = struct.unpack_from(">H", data, start + 2)
        segment = data[start : start + 2 + length]
        if marker == b"\xe1" and not exif and segment[4:10] == b"Exif\0\0":
            exif = segment[4:]
        is_side_data = b"\xe1" <= marker <= b"\xef" and marker != b"\xee"  # 0xEE holds the colour transform
        if not is_side_data and marker != b"\xfe":
            kept.append(segment)
        start += 2 + length
    raise ImageMetadataError(f"a JPEG of more than {_MOST_PARTS} segments")


def _strip_gif(data: bytes) -> Stripped:
    start = 13 + (3 * 2 ** ((data[10] & 7) + 1) if len(data) > 10 and data[10] & 0x80 else 0)
    kept = [data[:start]]
    parts = 0
    while data[start : start + 1] == b"!":
        end = start + 2
        while end < len(data) and data[end]:
            end += 1 + data[end]
            parts += 1
            if parts > _MOST_PARTS:
                raise ImageMetadataError(f"a GIF of more than {_MOST_PARTS} blocks before its first image")
        if data[start + 1 : start + 2] == b"\xf9":  # graphic control of the next image
            kept.append(data[start : end + 1])
        start = end + 1
        parts += 1
    return Stripped(b"".join([*kept, data[start:]]))


def _strip_webp(data: bytes) -> Stripped:
    (length,) = struct.unpack_from("<I", data, 4)
    exif = b""
    start = 12
    for _ in range(_MOST_PARTS):
        if start + 8 > min(len(data), length + 8):
            break
        name, size = struct.unpack_from("<4sI", data, start)
        if name == b"EXIF" and size <= _MOST_OFFSET_BYTES:
            exif = data[start + 8 : start + 8 + size]
        start += 8 + size + size % 2
    missing = length + 8 - len(data)
    if 0 < missing <= _MOST_CUT * len(data):
        data += bytes(missing)  # libwebp accepts only complete files; the missing part is the last rows
    return Stripped(data, orientation_of(exif))


# TIFF and EXIF


def _tags(data: bytes) -> Iterator[tuple[int, int, int, str, bytes]]:
    """Yield tag, type, count, byte order and the value field (4 bytes) of each entry in a TIFF's first directory."""
    if data[:4] not in {b"II*\0", b"MM\0*"} or len(data) < 8:
        return
    order = "<" if data.startswith(b"II") else ">"
    (start,) = struct.unpack_from(order + "I", data, 4)
    if start + 2 > len(data):
        return
    (entries,) = struct.unpack_from(order + "H", data, start)
    for place in range(start + 2, min(start + 2 + 12 * entries, len(data) - 11), 12):
        tag, kind, count = struct.unpack_from(order + "HHI", data, place)
        yield tag, kind, count, order, data[place + 8 : place + 12]


def _bytes_of(kind: int, count: int) -> int:
    return count * (_TYPE_BYTES[kind] if kind < len(_TYPE_BYTES) else 8)


def _strip_tiff(data: bytes) -> Stripped:
    """Append a directory with the needed tags only; the pixels keep their offsets."""
    kept = {}
    order = "<"
    for tag, kind, count, order, value in _tags(data):
        if tag in _TIFF_TAGS and tag not in kept:
            if _bytes_of(kind, count) > (_MOST_OFFSET_BYTES if tag in _OFFSETS else _MOST_TAG_BYTES):
                raise ImageMetadataError(f"a TIFF whose tag {tag} has {count} values")
            kept[tag] = struct.pack(order + "HHI", tag, kind, count) + value
    if not kept:
        return Stripped(data)
    sides = [_number(kept[tag], order) for tag in (322, 323) if tag in kept]
    if len(sides) == 2 and sides[0] * sides[1] > _MOST_TILE_PIXELS:
        raise ImageMetadataError(f"a TIFF of tiles of {sides[0]} by {sides[1]} pixels")
    place = len(data) + len(data) % 2
    directory = struct.pack(order + "H", len(kept)) + b"".join(kept[tag] for tag in sorted(kept)) + bytes(4)
    return Stripped(data[:4] + struct.pack(order + "I", place) + data[8:] + bytes(len(data) % 2) + directory)


def _number(entry: bytes, order: str) -> int:
    """Return the value of an entry that is a single number."""
    (number,) = struct.unpack_from(order + ("H" if entry[2:4] == struct.pack(order + "H", 3) else "I"), entry, 8)
    return int(number)


def _checked_avif(data: bytes) -> Stripped:
    """Return the file unchanged, as libavif handles orientation; check its EXIF's size, since Pillow reads it all."""
    for number, found in enumerate(re.finditer(rb"II\*\0|MM\0\*", data)):
        sizes = (_bytes_of(kind, count) for _, kind, count, _, _ in _tags(data[found.start() :]))
        if number >= _MOST_EXIFS or sum(size for size in sizes if size <= len(data)) > 16 * _MOST_OFFSET_BYTES:
            raise ImageMetadataError("an AVIF whose EXIF is far too large")
    return Stripped(data)


_KINDS: Final[Sequence[tuple[re.Pattern[bytes], Callable[[bytes], Stripped]]]] = (
    (re.compile(re.escape(_PNG)), _strip_png),
    (re.compile(rb"\xff\xd8\xff"), _strip_jpeg),
    (re.compile(rb"GIF8[79]a"), _strip_gif),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), _strip_webp),
    (re.compile(rb"II\*\0|MM\0\*"), _strip_tiff),
    (re.compile(rb".{4}ftyp", re.DOTALL), _checked_avif),
)

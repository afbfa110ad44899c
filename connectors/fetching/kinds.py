"""Identify file formats by their signatures, to explain why a file is not a supported image."""

from dataclasses import dataclass
from typing import Final

_SNIFFED: Final = 512
_MARKUP: Final = (b"<svg", b"<html", b"<!doctype", b"<?xml")
_READ: Final = (
    (b"\x89PNG", "PNG image"),
    (b"\xff\xd8\xff", "JPEG image"),
    (b"GIF8", "GIF image"),
    (b"II*\0", "TIFF image"),
    (b"MM\0*", "TIFF image"),
)
_OTHERS: Final = (
    (b"\xff\x0a", "a JPEG XL image"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL image"),
    (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript program"),
    (b"\x1a\x45\xdf\xa3", "a WebM or Matroska video"),
    (b"FLV\x01", "a Flash video"),
    (b"OggS", "an Ogg video or sound"),
    (b"ID3", "a sound"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"8BPS", "a Photoshop image"),
    (b"\0\0\1\0", "an icon"),
    (b"{", "JSON or other text"),
    (b"[", "JSON or other text"),
)
_HEIC_BRANDS: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})


@dataclass(frozen=True, slots=True)
class FileKind:
    """The format of a file."""

    name: str
    is_read: bool = False
    """Whether intact files of this format can be decoded."""


def kind_of(data: bytes) -> FileKind:
    """Identify the format of a file; the name repeats nothing of its contents, which may be secret."""
    for signature, name in _READ:
        if data.startswith(signature):
            return FileKind(name, is_read=True)
    if data.startswith(b"RIFF"):
        form = data[8:12]
        return (
            FileKind("WEBP image", is_read=True)
            if form in {b"", b"WEBP"}
            else FileKind("a video or sound (AVI or WAV)")
        )
    if data[4:8] == b"ftyp":
        return _of_boxes(data[8:12])
    start = data[:_SNIFFED].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(_MARKUP):
        return FileKind(
            "SVG, which has no pixels" if b"<svg" in start else "a web page or other markup instead of an image"
        )
    for signature, name in _OTHERS:
        if data.startswith(signature):
            return FileKind(f"{name}, which is not supported: {_WANTED}")
    return FileKind(f"not a supported image: {_WANTED}")


_WANTED: Final = "expected PNG, JPEG, GIF, WebP, AVIF, BMP, TIFF, JPEG 2000 or PPM"


def _of_boxes(brand: bytes) -> FileKind:
    if brand == b"avif":
        return FileKind("AVIF image", is_read=True)
    name = "a HEIC image" if brand in _HEIC_BRANDS else "a video (MP4 or MOV)"
    return FileKind(f"{name}, which is not supported: {_WANTED}")

"""Images as the web has them, and what is none: each with what must come of it."""

import gzip
import random
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

import numpy as np
from PIL import Image, ImageCms, features

from connectors.fetching.outcomes import Outcome

RED: Final = (254, 0, 0)
BLUE: Final = (0, 0, 254)
WHITE: Final = (255, 255, 255)
BLACK: Final = (0, 0, 0)
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Works:
    """Size (width, height) and the colours of the left and right edge's middle."""

    name: str
    data: bytes
    size: tuple[int, int] = (16, 16)
    colours: tuple[Colour, Colour] = (RED, BLUE)


@dataclass(frozen=True)
class Fails:
    """The outcome that is counted and a part of the reason that is told."""

    name: str
    data: bytes
    outcome: Outcome
    reason: str


def animals() -> list[Works | Fails]:
    """All of them; the order is that of their names, so that kinds mix."""
    return sorted([*_formats(), *_modes(), *_oddities(), *_broken(), *_bombs(), *_no_images()], key=lambda it: it.name)


# What works


def _formats() -> Iterator[Works]:
    two = _halves("RGB", RED, BLUE)
    yield Works("png", _file(two))
    yield Works("interlaced.png", _interlaced_png())
    yield Works("moving.png", _moving("PNG"))
    yield Works("bmp", _file(two, "BMP"))
    yield Works("ppm", _file(two, "PPM"))
    yield Works("gif", _file(two, "GIF"))
    yield Works("moving.gif", _moving("GIF"))
    yield Works("jpg", _file(two, "JPEG", quality=100, subsampling=0))
    yield Works("progressive.jpg", _file(two, "JPEG", quality=100, subsampling=0, progressive=True))
    yield Works("of_two_cameras.jpg", _moving("MPO", quality=100, subsampling=0))
    yield Works("webp", _file(two, "WEBP", lossless=True))
    yield Works("moving.webp", _moving("WEBP", lossless=True))
    yield Works("tif", _file(two, "TIFF"))
    yield Works("packed.tif", _file(two, "TIFF", compression="tiff_lzw"))
    yield Works("of_three_pages.tif", _moving("TIFF"))
    yield Works("jp2", _file(two, "JPEG2000"))
    if features.check("avif"):
        yield Works("avif", _file(two, "AVIF", quality=100, subsampling="4:4:4"))


def _modes() -> Iterator[Works]:
    palette = _halves("P", 0, 1)
    palette.putpalette([*RED, *BLUE])
    deep = np.repeat([[65535] * 8 + [0] * 8], 16, 0).astype(np.uint16)
    yield Works("palette.png", _file(palette), colours=(RED, BLUE))
    yield Works("palette_with_alpha.png", _file(palette, transparency=b"\xff\x00"), colours=(RED, WHITE))
    yield Works("palette_with_alpha.gif", _file(palette, "GIF", transparency=1), colours=(RED, WHITE))
    yield Works("alpha.png", _file(_halves("RGBA", (*RED, 255), (0, 0, 0, 0))), colours=(RED, WHITE))
    yield Works(
        "alpha.webp", _file(_halves("RGBA", (*RED, 255), (0, 0, 0, 0)), "WEBP", lossless=True), (16, 16), (RED, WHITE)
    )
    yield Works("grey_with_alpha.png", _file(_halves("LA", (0, 255), (0, 0))), colours=(BLACK, WHITE))
    yield Works("grey.png", _file(_halves("L", 0, 255)), colours=(BLACK, WHITE))
    yield Works("black_and_white.png", _file(_halves("1", 0, 1)), colours=(BLACK, WHITE))
    yield Works("16_bits_of_grey.png", _file(Image.fromarray(deep)), colours=(WHITE, BLACK))
    yield Works("16_bits_of_colour.png", _png(16, 16, 16, 2, _rows_of_16_bits()))
    yield Works(
        "cmyk.jpg", _file(_halves("CMYK", (0, 255, 255, 0), (0, 0, 0, 0)), "JPEG", quality=100), (16, 16), (RED, WHITE)
    )
    yield Works("cmyk.tif", _file(_halves("CMYK", (0, 0, 0, 255), (0, 0, 0, 0)), "TIFF"), colours=(BLACK, WHITE))
    yield Works("lab.tif", _file(_halves("LAB", (0, 128, 128), (255, 128, 128)), "TIFF"), colours=(BLACK, WHITE))


def _oddities() -> Iterator[Works]:
    two = _halves("RGB", RED, BLUE)
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    turned = _file(two, "JPEG", quality=100, subsampling=0, exif=exif)
    exif[0x0112] = 6  # a quarter to the right
    quarter = _file(
        _halves("RGB", RED, BLUE).transpose(Image.Transpose.ROTATE_90).resize((16, 32)),
        "JPEG",
        quality=100,
        subsampling=0,
        exif=exif,
    )
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    yield Works("one_pixel.png", _file(Image.new("RGB", (1, 1), RED)), (1, 1), (RED, RED))
    yield Works("one_pixel.gif", _file(Image.new("P", (1, 1)), "GIF"), (1, 1), (BLACK, BLACK))
    yield Works("a_png.jpg", _file(two))
    yield Works("a_webp.html", _file(two, "WEBP", lossless=True))
    yield Works("upside_down.jpg", turned, colours=(BLUE, RED))
    yield Works("lying.jpg", quarter, (32, 16))
    yield Works("with_profile.png", _file(two, icc_profile=srgb))
    yield Works("with_broken_profile.jpg", _file(two, "JPEG", quality=100, subsampling=0, icc_profile=b"no profile"))
    yield Works(
        "with_broken_exif.jpg", _file(two, "JPEG", quality=100, subsampling=0, exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    )
    yield Works("with_text.png", _with_chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(2**24), 9)))
    yield Works("with_more_behind.png", _file(two) + b"<script>" + bytes(1000))
    yield Works("wide.png", _file(Image.new("RGB", (20_000, 1), RED)), (2560, 1), (RED, RED))
    yield Works("large.png", _file(_halves("L", 0, 255, 5000)), (2560, 2560), (BLACK, WHITE))


# What does not


def _broken() -> Iterator[Fails]:
    noise = Image.frombytes("RGB", (64, 64), random.Random(1).randbytes(64 * 64 * 3))
    for form in ("PNG", "JPEG", "WEBP", "TIFF", "BMP"):
        data = _file(noise, form)
        yield Fails(f"half.{form.lower()}", data[: len(data) // 2], Outcome.BROKEN_IMAGE, "broken")
    good = _file(noise)
    yield Fails("signature_alone.png", good[:8], Outcome.BROKEN_IMAGE, "a broken PNG")
    yield Fails("header_alone.png", good[:33], Outcome.BROKEN_IMAGE, "broken")
    yield Fails("header_alone.gif", _file(noise, "GIF")[:13], Outcome.BROKEN_IMAGE, "broken")
    yield Fails("wrong_checksum.png", good[:29] + b"\0\0\0\0" + good[33:], Outcome.BROKEN_IMAGE, "broken")
    yield Fails("nothing_high.png", _png(16, 0, 8, 2, b""), Outcome.BROKEN_IMAGE, "broken")


def _bombs() -> Iterator[Fails]:
    small = _file(_halves("RGB", RED, BLUE), "JPEG")
    progressive = _file(Image.new("L", (64, 64)), "JPEG", progressive=True)
    last_scan = progressive[progressive.rindex(b"\xff\xda") : -2]
    sized = small.index(b"\xff\xc0") + 5
    too_many = "at most 64000000 in all are decoded"
    yield Fails("20000_square.png", _black_png(20_000), Outcome.TOO_LARGE, "far too many pixels")
    yield Fails("10000_square.png", _black_png(10_000), Outcome.TOO_LARGE, f"10000 by 10000 pixels; {too_many}")
    yield Fails("giga.png", _png(60_000, 60_000, 8, 6, b""), Outcome.TOO_LARGE, "far too many pixels")
    yield Fails(
        "giga.jpg", small[:sized] + b"\xff\xdc" * 2 + small[sized + 4 :], Outcome.TOO_LARGE, "far too many pixels"
    )
    yield Fails("giga.gif", _gif((65_535, 65_535), (1, 1)), Outcome.TOO_LARGE, "far too many pixels")
    yield Fails("giga_frame.gif", _gif((1, 1), (65_535, 65_535)), Outcome.TOO_LARGE, "far too many pixels")
    yield Fails("giga.ppm", b"P6 60000 60000 255\n", Outcome.TOO_LARGE, "far too many pixels")
    yield Fails("giga.bmp", _bmp(60_000, 60_000), Outcome.TOO_LARGE, "far too many pixels")
    yield Fails("scans.jpg", progressive[:-2] + last_scan * 10_000 + b"\xff\xd9", Outcome.TOO_LARGE, "scans")
    yield Fails("large_file.png", _file(Image.new("L", (8, 8))) + bytes(32 * 2**20), Outcome.TOO_LARGE, "bytes")


def _no_images() -> Iterator[Fails]:
    page = b"\n<!DOCTYPE html>\n<title>Not here any more</title>"
    drawing = b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"><rect/></svg>'
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(%pipe%touch x) (w) file\n"
    others = {
        "text.txt": b"no image",
        "error.json": b'{"error": "gone"}',
        "paper.pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
        "program.eps": postscript,
        "film.mp4": b"\0\0\0 ftypisom\0\0\2\0isomiso2avc1mp41",
        "phone.heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40),
        "new.jxl": b"\xff\x0a" + bytes(40),
        "archive.zip": b"PK\3\4" + bytes(40),
        "packed.svgz": gzip.compress(drawing),
        "noise": random.Random(2).randbytes(1000),
        "zeros": bytes(1000),
    }
    yield Fails("nothing.png", b"", Outcome.NOT_AN_IMAGE, "no bytes")
    yield Fails("page.jpg", page, Outcome.NOT_AN_IMAGE, "a web page")
    yield Fails("drawing.svg", drawing, Outcome.NOT_AN_IMAGE, "SVG")
    yield Fails("drawing.png", drawing.partition(b"\n")[2], Outcome.NOT_AN_IMAGE, "SVG")
    named = {
        "paper.pdf": "a PDF document",
        "film.mp4": "a video (MP4 or MOV)",
        "archive.zip": "a ZIP archive",
        "phone.heic": "a HEIC image",
        "new.jxl": "a JPEG XL image",
    }
    for name, data in others.items():
        yield Fails(name, data, Outcome.NOT_AN_IMAGE, named.get(name, "expected PNG"))


# How they are made


def _file(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    out = BytesIO()
    image.copy().save(out, form, **options)  # saving leaves traces
    return out.getvalue()


def _moving(form: str, **options: Any) -> bytes:
    """Three images, the first of which counts."""
    others = [_halves("RGB", BLACK, WHITE), _halves("RGB", WHITE, BLACK)]
    return _file(_halves("RGB", RED, BLUE), form, save_all=True, append_images=others, **options)


def _halves(mode: str, left: Any, right: Any, side: int = 16) -> Image.Image:
    image = Image.new(mode, (side, side), right)
    image.paste(left, (0, 0, side // 2, side))
    return image


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _png(width: int, height: int, bits: int, colours: int, rows: bytes, interlaced: int = 0) -> bytes:
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colours, 0, 0, interlaced))
    return b"\x89PNG\r\n\x1a\n" + header + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")


def _black_png(side: int) -> bytes:
    """A bit for each pixel, made without a byte for each."""
    return _png(side, side, 1, 0, bytes((1 + side // 8) * side))


def _rows_of_16_bits() -> bytes:
    return (b"\0" + struct.pack(">3H", 0xFEFE, 0, 0) * 8 + struct.pack(">3H", 0, 0, 0xFEFE) * 8) * 16


def _interlaced_png() -> bytes:
    """By Adam7: seven passes, each a small image of every nth pixel."""
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    rows = b""
    for x, y, dx, dy in passes:
        row = b"".join(bytes(RED if column < 8 else BLUE) for column in range(x, 16, dx))
        rows += (b"\0" + row) * len(range(y, 16, dy))
    return _png(16, 16, 8, 2, rows, interlaced=1)


def _with_chunk(name: bytes, body: bytes) -> bytes:
    """A good PNG with one chunk more before its pixels."""
    good = _file(_halves("RGB", RED, BLUE))
    return good[:33] + _chunk(name, body) + good[33:]


def _gif(screen: tuple[int, int], frame: tuple[int, int]) -> bytes:
    """One black frame, and a screen that need not fit it."""
    start = b"GIF89a" + struct.pack("<HH", *screen) + b"\x80\0\0" + bytes(6)
    return start + b"," + struct.pack("<HHHH", 0, 0, *frame) + b"\0\2\2D\1\0;"


def _bmp(width: int, height: int) -> bytes:
    return (
        b"BM"
        + struct.pack("<IHHI", 54, 0, 0, 54)
        + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    )

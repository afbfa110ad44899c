"""From a picture file's bytes to pixels, at a bounded cost."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from io import BytesIO
from typing import Final

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from connectors.fetching.outcomes import FetchError, Outcome
from core.records import Pixels

_FORMATS: Final = ("PNG", "JPEG", "GIF", "WEBP", "AVIF", "BMP", "TIFF", "JPEG2000", "PPM")
"""What the web and cameras make. Pillow knows more; EPS, which it hands to Ghostscript to run, is not for strangers."""
_SCALABLE: Final = frozenset({"L", "LA", "RGB", "RGBA", "CMYK", "YCbCr"})
"""Pillow's modes that can be scaled down well as they are, which takes less memory than colours of all pixels."""
_MARKUP: Final = (b"<svg", b"<html", b"<!doctype", b"<?xml")
_SNIFFED: Final = 512
_SIGNATURES: Final = ((b"\x89PNG", "PNG"), (b"\xff\xd8\xff", "JPEG"), (b"GIF8", "GIF"), (b"RIFF", "WEBP"))
_MAX_SCANS: Final = 100
"""Of a progressive JPEG, which is decoded once for each; encoders make about ten."""

TakeRoom = Callable[[int], AbstractContextManager[object]]
"""Waits until so many pixels may be decoded."""


def decode(data: bytes, *, max_pixels: int, max_side: int, room: TakeRoom = nullcontext) -> Pixels:
    """Decode a picture: first frame, upright, RGB over white, at most `max_side` a side.

    Returns:
        uint8 array of shape (height, width, 3).

    Raises:
        FetchError: where the bytes are no picture, a broken one, or one too large.
    """
    if not data:
        raise FetchError(Outcome.NOT_AN_IMAGE, "no bytes")
    with _opened(data) as image:
        width, height = image.size
        if width * height > max_pixels:
            raise FetchError(Outcome.TOO_LARGE, f"{width} by {height} pixels; at most {max_pixels} in all are decoded")
        if image.format in {"JPEG", "MPO"} and data.count(b"\xff\xda") > _MAX_SCANS:
            raise FetchError(Outcome.TOO_LARGE, f"a JPEG of more than {_MAX_SCANS} scans")
        with room(width * height):
            try:
                return _pixels(image, max_side)
            except Exception as error:  # of many kinds, Pillow's own
                reason = f"a broken {image.format} picture: {str(error) or type(error).__name__}"
                raise FetchError(Outcome.BROKEN_IMAGE, reason) from error


def _opened(data: bytes) -> Image.Image:
    try:
        return Image.open(BytesIO(data), formats=_FORMATS)
    except UnidentifiedImageError:
        for signature, form in _SIGNATURES:
            if data.startswith(signature):
                raise FetchError(Outcome.BROKEN_IMAGE, f"a broken {form} picture: its head cannot be read") from None
        raise FetchError(Outcome.NOT_AN_IMAGE, _what_it_is(data)) from None
    except Image.DecompressionBombError:
        raise FetchError(Outcome.TOO_LARGE, "far too many pixels to be decoded") from None
    except Exception as error:
        raise FetchError(Outcome.BROKEN_IMAGE, f"a broken picture: {str(error) or type(error).__name__}") from error


def _what_it_is(data: bytes) -> str:
    start = data[:_SNIFFED].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(_MARKUP):
        return "SVG, which has no pixels" if b"<svg" in start else "a web page or other markup instead of a picture"
    return f"no picture that can be read: it begins with {data[:16]!r}"


def _pixels(image: Image.Image, max_side: int) -> Pixels:
    image.draft("RGB", (max_side, max_side))  # lets a JPEG be decoded at a half or less
    image.load()
    upright = _scalable(ImageOps.exif_transpose(image))
    upright.thumbnail((max_side, max_side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return np.asarray(_over_white(upright))


def _scalable(image: Image.Image) -> Image.Image:
    if image.mode in _SCALABLE and "transparency" not in image.info:
        return image
    if image.mode.startswith(("I", "F")):
        return _of_8_bits(image)
    has_alpha = image.mode in {"PA", "La", "RGBa"} or "transparency" in image.info
    return image.convert("RGBA" if has_alpha else "RGB")


def _of_8_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits a pixel, or of floats: the largest value that the kind allows, or occurs, is white."""
    values = np.asarray(image)
    largest = float(values.max(initial=0))
    top = 65535.0 if image.mode.startswith("I") and largest > 255 else max(1.0, largest)
    scaled = values.astype(np.float32)
    scaled *= 255 / top
    return Image.fromarray(np.clip(scaled, 0, 255, out=scaled).astype(np.uint8))


def _over_white(image: Image.Image) -> Image.Image:
    if image.mode in {"RGBA", "LA"}:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")

"""From an image file's bytes to pixels, at a bounded cost."""

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from connectors.fetching.image_metadata import BoundedFile, ImageMetadataError, Stripped, orientation_of, strip_metadata
from connectors.fetching.kinds import kind_of
from connectors.fetching.outcomes import FetchError, Outcome
from connectors.fetching.transparency import flattened
from core.errors import first_line
from core.records import Pixels
from core.telemetry import log

_FORMATS: Final = ("PNG", "JPEG", "GIF", "WEBP", "AVIF", "BMP", "TIFF", "JPEG2000", "PPM")
"""What the web and cameras make. Pillow knows more; EPS, which it hands to Ghostscript to run, is not for strangers."""
_SCALABLE: Final = frozenset({"L", "LA", "RGB", "RGBA", "CMYK", "YCbCr"})
"""Pillow's modes that can be scaled down well as they are, which takes less memory than colours of all pixels."""
_TURNS: Final[Mapping[int, Image.Transpose]] = MappingProxyType(
    {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
)
"""What makes an image upright, by EXIF's orientation."""
_SLOW: Final = (b"P1", b"P2", b"P3", b"BM")
"""Kinds that Pillow may decode in Python: numbers in words, and runs of a BMP."""
_MOST_SLOW_BYTES: Final = 4 * 2**20
_MOST_SCANS: Final = 100
"""Of a progressive JPEG, which is decoded once for each; encoders make about ten."""
_MOST_SCANNED: Final = 10**9
"""Pixels of all scans together."""
_MOVING: Final = frozenset({"GIF", "PNG", "WEBP", "AVIF"})
_MOST_EMPTY: Final = 8
"""Frames that show nothing, after which no more are looked at."""
_EVEN: Final = 16
"""Of 255: where no colour differs by more, a frame shows nothing."""
_ENOUGH: Final = 0.75
"""A file that is cut is still an image where so much of its height is there, as viewers show it."""

_LONG: Final = 3
"""An image so many times as long as wide is a long one."""
_LEAST_SHORT: Final = 64
"""Pixels: in what is thinner there are no letters."""

TakeRoom = Callable[[int], AbstractContextManager[object]]
"""Waits until so many pixels may be decoded."""


def decode(data: bytes, *, max_pixels: int, max_side: int, room: TakeRoom = nullcontext) -> Pixels:
    """Decode an image: the first frame that shows something, upright, RGB, at most `max_side` a side.

    Clear ground becomes white, or what the image is seen on best (`flattened`). What else the file holds neither
    costs nor matters.

    Returns:
        uint8 array of shape (height, width, 3).

    Raises:
        FetchError: where the bytes are no image, a broken one, or one too large.
    """
    if not data:
        raise FetchError(Outcome.NOT_AN_IMAGE, "no bytes")
    if data.startswith(_SLOW) and len(data) > _MOST_SLOW_BYTES and _is_decoded_slowly(data):
        raise FetchError(Outcome.TOO_LARGE, f"more than {_MOST_SLOW_BYTES} bytes in a form that takes long to decode")
    try:
        alone = strip_metadata(data)
    except ImageMetadataError as error:
        raise FetchError(Outcome.TOO_LARGE, str(error)) from None
    with _opened(alone.data) as image:
        width, height = alone.canvas or image.size
        if max(width * height, image.width * image.height) > max_pixels:
            raise FetchError(Outcome.TOO_LARGE, f"{width} by {height} pixels; at most {max_pixels} in all are decoded")
        if image.format == "JPEG":
            scans = alone.data.count(b"\xff\xda")
            if scans > _MOST_SCANS or scans * width * height > _MOST_SCANNED:
                raise FetchError(Outcome.TOO_LARGE, f"a JPEG of {scans} scans; at most {_MOST_SCANS} are decoded")
        with room(width * height):
            try:
                return _shown(image, alone, data, max_pixels, max_side)
            except FetchError:
                raise
            except Exception as error:  # of many kinds, Pillow's own
                reason = f"a broken {image.format} image: {str(error) or type(error).__name__}"
                raise FetchError(Outcome.BROKEN_IMAGE, reason) from error


def most_side(width: int, height: int, max_side: int) -> int:
    """Longest side that is kept: that of an image that is long, a chat's or a comic's, may be longer.

    Its letters have the size of its shorter side. It takes no more pixels than a square of `max_side`.
    """
    long, short = max(width, height), min(width, height)
    if short < _LEAST_SHORT or long < _LONG * short:
        return max_side
    ratio = long / short
    return round(min(ratio * max_side / _LONG, max_side * math.sqrt(ratio)))


def _is_decoded_slowly(data: bytes) -> bool:
    """Whether a PPM or BMP is of a kind that Pillow decodes in Python."""
    return not data.startswith(b"BM") or data[30:34] != bytes(4)


def _opened(data: bytes) -> ImageFile.ImageFile:
    try:
        return Image.open(BoundedFile(data), formats=_FORMATS)
    except UnidentifiedImageError:
        kind = kind_of(data)
        if kind.is_read:
            raise FetchError(Outcome.BROKEN_IMAGE, f"a broken {kind.name}: its head cannot be read") from None
        raise FetchError(Outcome.NOT_AN_IMAGE, kind.name) from None
    except (Image.DecompressionBombError, ImageMetadataError) as error:
        told = error if isinstance(error, ImageMetadataError) else "far too many pixels to be decoded"
        raise FetchError(Outcome.TOO_LARGE, str(told)) from None
    except Exception as error:
        raise FetchError(Outcome.BROKEN_IMAGE, f"a broken image: {str(error) or type(error).__name__}") from error


def _pixels(image: ImageFile.ImageFile, alone: Stripped, max_side: int) -> Pixels:
    loaded = _scalable(_loaded(image, alone.data, max_side))
    if alone.canvas is not None and (loaded.size != alone.canvas or any(alone.at)):
        loaded = _on_canvas(loaded, alone.canvas, alone.at)
    # An AVIF is turned by Pillow's own reading of it, a TIFF by Pillow as it is loaded.
    up = orientation_of(image.info.get("exif", b"")) if image.format == "AVIF" else alone.orientation
    return _scaled(loaded.transpose(_TURNS[up]) if up in _TURNS else loaded, max_side)


def _shown(image: ImageFile.ImageFile, alone: Stripped, data: bytes, max_pixels: int, max_side: int) -> Pixels:
    first = _pixels(image, alone, max_side)
    return _later_frame(data, max_pixels, max_side, first) if image.format in _MOVING and _is_empty(first) else first


def _scaled(upright: Image.Image, max_side: int) -> Pixels:
    most = most_side(*upright.size, max_side)
    upright.thumbnail((most, most), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return np.asarray(flattened(upright))


def _is_empty(pixels: Pixels) -> bool:
    """Whether all is of one colour; some of the pixels tell of nearly all images that it is not."""
    return all(bool((np.ptp(it, axis=(0, 1)) <= _EVEN).all()) for it in (pixels[::8, ::8], pixels))


def _later_frame(data: bytes, max_pixels: int, max_side: int, first: Pixels) -> Pixels:
    """The first of the next few frames that shows something, as many films begin in the dark; else `first`."""
    try:
        with _opened(data) as moving:
            for number in range(1, min(getattr(moving, "n_frames", 1), _MOST_EMPTY + 1)):
                moving.seek(number)
                if moving.width * moving.height > max_pixels:
                    break
                moving.load()
                found = _scaled(_scalable(moving).copy(), max_side)
                if not _is_empty(found):
                    return found
    except Exception as error:  # of many kinds, Pillow's own: the first frame is whole
        log.debug("a later frame cannot be read", error=first_line(error))
    return first


def _loaded(image: ImageFile.ImageFile, data: bytes, max_side: int) -> Image.Image:
    """The image with its pixels; of a file that is cut, as much as there is."""
    image.draft("RGB", (max_side, max_side))  # lets a JPEG be decoded at a half or less
    try:
        image.load()
    except OSError as error:
        missing = _missing_rows(image)
        there = 1 - float(missing.mean())
        is_jpeg = image.format == "JPEG"
        is_seen_whole = is_jpeg and not there and data.count(b"\xff\xda") > 1  # progressive: coarse, but all of it
        if there < _ENOUGH and not is_seen_whole:
            reason = f"a broken {image.format} image: {error}; {there:.0%} of it is there"
            raise FetchError(Outcome.BROKEN_IMAGE, reason) from error
        if is_jpeg:
            ended = _opened(data + b"\xff\xd9")
            ended.draft("RGB", (max_side, max_side))
            ended.load()
            return ended
        cut = _scalable(image).convert("RGB")
        mask = np.repeat(missing[:, None].astype(np.uint8) * 255, cut.width, axis=1)
        cut.paste("white", mask=Image.fromarray(mask))
        return cut
    return image


def _missing_rows(image: ImageFile.ImageFile) -> NDArray[np.bool_]:
    """For each row whether the file ended before it was decoded: it is still zeros, and so are those after it."""
    image.tile = []  # it has all that there is
    try:
        is_empty: NDArray[np.bool_] = np.equal(np.asarray(image).reshape(image.height, -1).max(axis=1), 0)
    except (OSError, ValueError):  # nothing was
        return np.ones(image.height, bool)
    if image.format == "GIF":  # whose rows may come in four turns
        return is_empty
    if image.format == "BMP":  # whose rows begin at the bottom
        return np.logical_and.accumulate(is_empty)
    missing: NDArray[np.bool_] = np.logical_and.accumulate(is_empty[::-1])[::-1]
    return missing


def _on_canvas(part: Image.Image, size: tuple[int, int], at: tuple[int, int]) -> Image.Image:
    canvas = Image.new("RGBA", size)
    canvas.paste(part.convert("RGBA"), at)
    return canvas


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

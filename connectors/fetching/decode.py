"""Decode image files to pixels, with bounded time and memory."""

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
"""Formats of the web and of cameras; not EPS, for which Pillow runs Ghostscript: unsafe for untrusted files."""
_SCALABLE: Final = frozenset({"L", "LA", "RGB", "RGBA", "CMYK", "YCbCr"})
"""Pillow modes that can be scaled before conversion to RGB, which saves memory."""
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
"""Transposition that makes an image upright, by EXIF orientation."""
_SLOW: Final = (b"P1", b"P2", b"P3", b"BM")
"""Signatures of formats that Pillow may decode in Python: plain-text PNM, and BMP with run-length encoding."""
_MOST_SLOW_BYTES: Final = 4 * 2**20
_MOST_SCANS: Final = 100
"""Maximum number of scans of a progressive JPEG, since each decodes the whole image; encoders make about ten."""
_MOST_SCANNED: Final = 10**9
"""Maximum number of pixels over all scans."""
_MOVING: Final = frozenset({"GIF", "PNG", "WEBP", "AVIF"})
_MOST_EMPTY: Final = 8
"""Maximum number of blank frames to skip."""
_EVEN: Final = 16
"""A frame is blank if no channel varies by more than this, of 255."""
_ENOUGH: Final = 0.75
"""A truncated file is accepted if at least this share of its rows was decoded, as viewers do."""

_LONG: Final = 3
"""Aspect ratio from which an image counts as long."""
_LEAST_SHORT: Final = 64
"""Shorter side in pixels below which an image cannot contain readable letters."""

TakeRoom = Callable[[int], AbstractContextManager[object]]
"""Blocks until this number of pixels may be decoded (a weighted semaphore)."""


def decode(data: bytes, *, max_pixels: int, max_side: int, room: TakeRoom = nullcontext) -> Pixels:
    """Decode an image: its first frame that is not blank, upright, in RGB, scaled down to `max_side`.

    Transparent pixels become white, or the shade on which the image is visible (`flattened`). Metadata and further
    frames cost nothing.

    Args:
        data: The file.
        max_pixels: Maximum number of pixels that the file may declare.
        max_side: Maximum width and height of the result; the longer side of a long image may exceed it (`most_side`).
        room: Limits the number of pixels decoded concurrently.

    Returns:
        uint8 array of shape (height, width, 3).

    Raises:
        FetchError: if the file is not an image, is broken, or is too large.
    """
    if not data:
        raise FetchError(Outcome.NOT_AN_IMAGE, "no bytes")
    if data.startswith(_SLOW) and len(data) > _MOST_SLOW_BYTES and _is_decoded_slowly(data):
        raise FetchError(Outcome.TOO_LARGE, f"more than {_MOST_SLOW_BYTES} bytes in a format that is slow to decode")
    try:
        stripped = strip_metadata(data)
    except ImageMetadataError as error:
        raise FetchError(Outcome.TOO_LARGE, str(error)) from None
    with _opened(stripped.data) as image:
        width, height = stripped.canvas or image.size
        if max(width * height, image.width * image.height) > max_pixels:
            raise FetchError(Outcome.TOO_LARGE, f"{width} by {height} pixels; at most {max_pixels} in all are decoded")
        if image.format == "JPEG":
            scans = stripped.data.count(b"\xff\xda")
            if scans > _MOST_SCANS or scans * width * height > _MOST_SCANNED:
                raise FetchError(Outcome.TOO_LARGE, f"a JPEG of {scans} scans; at most {_MOST_SCANS} are decoded")
        with room(width * height):
            try:
                return _shown(image, stripped, data, max_pixels, max_side)
            except FetchError:
                raise
            except Exception as error:  # Pillow raises many types
                reason = f"a broken {image.format} image: {str(error) or type(error).__name__}"
                raise FetchError(Outcome.BROKEN_IMAGE, reason) from error


def most_side(width: int, height: int, max_side: int) -> int:
    """Return the maximum length of the longer side, in pixels; long images (chats, comics) may exceed `max_side`.

    The size of its letters depends on its shorter side. It has at most as many pixels as a square of `max_side`.

    >>> most_side(800, 600, 512), most_side(600, 6000, 512)
    (512, 1619)
    """
    long, short = max(width, height), min(width, height)
    if short < _LEAST_SHORT or long < _LONG * short:
        return max_side
    ratio = long / short
    return round(min(ratio * max_side / _LONG, max_side * math.sqrt(ratio)))


def _is_decoded_slowly(data: bytes) -> bool:
    """Check whether a PNM or BMP is of a kind that Pillow decodes in Python."""
    return not data.startswith(b"BM") or data[30:34] != bytes(4)


def _opened(data: bytes) -> ImageFile.ImageFile:
    try:
        return Image.open(BoundedFile(data), formats=_FORMATS)
    except UnidentifiedImageError:
        kind = kind_of(data)
        if kind.is_read:
            raise FetchError(Outcome.BROKEN_IMAGE, f"a broken {kind.name}: its header cannot be read") from None
        raise FetchError(Outcome.NOT_AN_IMAGE, kind.name) from None
    except (Image.DecompressionBombError, ImageMetadataError) as error:
        reason = error if isinstance(error, ImageMetadataError) else "far too many pixels to decode"
        raise FetchError(Outcome.TOO_LARGE, str(reason)) from None
    except Exception as error:
        raise FetchError(Outcome.BROKEN_IMAGE, f"a broken image: {str(error) or type(error).__name__}") from error


def _pixels(image: ImageFile.ImageFile, stripped: Stripped, max_side: int) -> Pixels:
    loaded = _scalable(_loaded(image, stripped.data, max_side))
    if stripped.canvas is not None and (loaded.size != stripped.canvas or any(stripped.at)):
        loaded = _on_canvas(loaded, stripped.canvas, stripped.at)
    # For AVIF, use the EXIF that Pillow extracts; a TIFF is transposed by Pillow on load.
    up = orientation_of(image.info.get("exif", b"")) if image.format == "AVIF" else stripped.orientation
    return _scaled(loaded.transpose(_TURNS[up]) if up in _TURNS else loaded, max_side)


def _shown(image: ImageFile.ImageFile, stripped: Stripped, data: bytes, max_pixels: int, max_side: int) -> Pixels:
    first = _pixels(image, stripped, max_side)
    return _later_frame(data, max_pixels, max_side, first) if image.format in _MOVING and _is_empty(first) else first


def _scaled(upright: Image.Image, max_side: int) -> Pixels:
    most = most_side(*upright.size, max_side)
    upright.thumbnail((most, most), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return np.asarray(flattened(upright))


def _is_empty(pixels: Pixels) -> bool:
    """Check whether a frame has a single colour; a sparse sample decides this for nearly all images."""
    return all(bool((np.ptp(it, axis=(0, 1)) <= _EVEN).all()) for it in (pixels[::8, ::8], pixels))


def _later_frame(data: bytes, max_pixels: int, max_side: int, first: Pixels) -> Pixels:
    """Return the next frame that is not blank, since many animations begin with black frames; otherwise `first`."""
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
    except Exception as error:  # Pillow raises many types; the first frame is valid
        log.debug("cannot decode a later frame", error=first_line(error))
    return first


def _loaded(image: ImageFile.ImageFile, data: bytes, max_side: int) -> Image.Image:
    """Load the pixels of an image; of a truncated file, those that it contains."""
    image.draft("RGB", (max_side, max_side))  # lets libjpeg decode at half the size or less
    try:
        image.load()
    except OSError as error:
        missing = _missing_rows(image)
        share = 1 - float(missing.mean())
        is_jpeg = image.format == "JPEG"
        is_coarse = is_jpeg and not share and data.count(b"\xff\xda") > 1  # progressive: complete, but coarse
        if share < _ENOUGH and not is_coarse:
            reason = f"a broken {image.format} image: {error}; {share:.0%} of its rows can be decoded"
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
    """Return for each row whether the file ended before it (bool, shape (height,)): it and all later rows are zeros."""
    image.tile = []  # keeps Pillow from loading again
    try:
        is_empty: NDArray[np.bool_] = np.equal(np.asarray(image).reshape(image.height, -1).max(axis=1), 0)
    except (OSError, ValueError):  # no row was decoded
        return np.ones(image.height, bool)
    if image.format == "GIF":  # may be interlaced in four passes
        return is_empty
    if image.format == "BMP":  # stores rows from the bottom
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
    """Convert grey of 16 or 32 bits or floats to 8 bits; white is the format's largest value, or else the image's."""
    values = np.asarray(image)
    largest = float(values.max(initial=0))
    top = 65535.0 if image.mode.startswith("I") and largest > 255 else max(1.0, largest)
    scaled = values.astype(np.float32)
    scaled *= 255 / top
    return Image.fromarray(np.clip(scaled, 0, 255, out=scaled).astype(np.uint8))

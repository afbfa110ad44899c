"""Thumbnails: small copies of images, to view a store when the images themselves are gone."""

from io import BytesIO
from typing import Final

from PIL import Image

from connectors.fetching.decode import most_side
from core.records import Pixels

_QUALITY: Final = 75
_LONGEST: Final = 16_383
"""Largest width and height in pixels that WebP supports."""
_EFFORT: Final = 2
"""Effort of WebP's encoder, 0 to 6: takes a third of the default's time; files are a few per cent larger."""


def thumbnail(image: Pixels, side: int) -> bytes:
    """Scale an image down to fit into a square of `side` pixels, and encode it as WebP.

    Images with an aspect ratio of three or more (chats, comics) may have a longer side, as in decoding (`most_side`).
    Smaller images keep their size.

    Args:
        image: uint8 array of shape (height, width, 3).
        side: Width and height in pixels, at least 1.
    """
    small = Image.fromarray(image)
    most = min(most_side(*small.size, side), _LONGEST)
    small.thumbnail((most, most), Image.Resampling.BICUBIC, reducing_gap=2.0)
    out = BytesIO()
    small.save(out, "WEBP", quality=_QUALITY, method=_EFFORT)
    return out.getvalue()

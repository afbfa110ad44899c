"""A decoded image made small, for whoever looks at a store when the image itself is gone."""

from io import BytesIO
from typing import Final

from PIL import Image

from connectors.fetching.decode import most_side
from core.records import Pixels

_QUALITY: Final = 75
_LONGEST: Final = 16_383
"""Pixels of a side that WebP can hold."""
_EFFORT: Final = 2
"""Of WebP's 0 to 6: a third of the time of its default, and files a few per cent larger."""


def thumbnail(image: Pixels, side: int) -> bytes:
    """Scale an image down so that it fits into a square of `side` pixels, and give it as WebP.

    One that is three times as long as wide or more, as a chat's or a comic's, is allowed a longer side, as it is when
    it is decoded. One that is small already keeps its size.

    Args:
        image: uint8 array of shape (height, width, 3).
        side: In pixels, 1 at least.
    """
    small = Image.fromarray(image)
    most = min(most_side(*small.size, side), _LONGEST)
    small.thumbnail((most, most), Image.Resampling.BICUBIC, reducing_gap=2.0)
    out = BytesIO()
    small.save(out, "WEBP", quality=_QUALITY, method=_EFFORT)
    return out.getvalue()

"""Bars that others put above or below an image: a strip of one colour with little on it, such as a site's name."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

_HIGHEST: Final = 0.09
"""Of the height. Captions mostly take more, and an image without its caption would be like others of its template."""
_LOWEST: Final = 0.015
_NEAR: Final = 16
"""Greys of 255 within which a pixel has the colour of the bar: a poor JPEG moves them by less."""
_GROUND: Final = 0.5
"""Least share of such pixels in a row of a bar, with letters on it; a row of the image has less."""
_MARGIN: Final = 0.9
"""The same of the outermost and the innermost row, where no letters are."""


def crop_letterbox(grey: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """The image without its bar above, and without its bar below: each where there is one.

    Args:
        grey: Brightness, shape (height, width).
    """
    if above := _rows(grey):
        yield grey[above:]
    if below := _rows(grey[::-1]):
        yield grey[: len(grey) - below]


def _rows(grey: NDArray[np.uint8]) -> int:
    """Rows of the bar at the top, 0 where there is none."""
    strip = grey[: int(_HIGHEST * len(grey)) + 1].astype(np.int16)
    plain = (np.abs(strip - np.median(strip[0])) <= _NEAR).mean(axis=1)
    of_image = plain < _GROUND
    rows = int(of_image.argmax())  # 0 too where all of the strip may be bar
    if rows < max(2, _LOWEST * len(grey)) or min(plain[0], plain[rows - 1]) < _MARGIN:
        return 0
    return rows

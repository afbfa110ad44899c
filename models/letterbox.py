"""Detect and crop letterbox bars: plain strips above or below an image with little on them, such as a site's name."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

_MAX_HEIGHT: Final = 0.09
"""Share of the image's height that a bar has at most. Captions mostly take more, and an image whose caption is cropped
would look like all others of its template."""
_MIN_HEIGHT: Final = 0.015
"""Share of the image's height that a bar has at least."""
_TOLERANCE: Final = 16
"""Difference of grey values, of 255, up to which a pixel has the bar's colour: JPEG artefacts are smaller."""
_MIN_PLAIN: Final = 0.5
"""Share of pixels of the bar's colour that each of its rows has at least, letters included; a row of the image has
fewer."""
_MIN_PLAIN_EDGE: Final = 0.9
"""The same for the outermost and the innermost row of a bar, which have no letters."""


def crop_letterbox(grey: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """Yield the image without the bar above it, then without the bar below it, for each bar that it has.

    Args:
        grey: Grey values, shape (height, width).
    """
    if above := _rows(grey):
        yield grey[above:]
    if below := _rows(grey[::-1]):
        yield grey[: len(grey) - below]


def _rows(grey: NDArray[np.uint8]) -> int:
    """Return the height in pixels of the bar at the top, 0 if there is none."""
    strip = grey[: int(_MAX_HEIGHT * len(grey)) + 1].astype(np.int16)
    plain = (np.abs(strip - np.median(strip[0])) <= _TOLERANCE).mean(axis=1)
    of_image = plain < _MIN_PLAIN
    rows = int(of_image.argmax())  # 0 also if no row of the strip is the image's
    if rows < max(2, _MIN_HEIGHT * len(grey)) or min(plain[0], plain[rows - 1]) < _MIN_PLAIN_EDGE:
        return 0
    return rows

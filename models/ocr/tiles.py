"""Long images: screenshots of chats and comics, whose letters vanish where the whole is scaled down."""

from typing import Final

import numpy as np

from core.records import Pixels
from models.ocr.parts import Detector, Quad

_LONG: Final = 3.0
"""An image so many times as high as wide is looked at in tiles."""
_WIDE: Final = 2000
"""Pixels, from which on a wide image is scaled down so far that letters may vanish; a tile would cut its lines."""
_TILE: Final = 2.0
"""Height of a tile in widths of the image."""
_SHARED: Final = 0.25
"""Height, in widths, that two tiles share; no line is higher."""
_MOST_TILES: Final = 24
_LEAST_WIDTH: Final = 64
"""Pixels: in what is narrower there is no line to be read."""


def detect_in_tiles(detector: Detector, image: Pixels) -> tuple[list[Quad], list[str]]:
    """Boxes in the whole image, and reasons why some of it was not looked at."""
    height, width, _ = image.shape
    if width >= max(_WIDE, _LONG * height):
        reason = f"an image of {width} by {height} pixels was looked at as a whole: small letters may not be read"
        return detector.detect(image), [reason]
    if height < _LONG * width or width < _LEAST_WIDTH:
        return detector.detect(image), []
    tall, shared = round(_TILE * width), round(_SHARED * width)
    starts = list(range(0, max(1, height - shared), tall - shared))
    reasons = []
    if len(starts) > _MOST_TILES:
        starts = starts[:_MOST_TILES]
        reasons.append(f"an image of {width} by {height} pixels: the first {starts[-1] + tall} rows were read")
    quads: list[Quad] = []
    for number, start in enumerate(starts):
        upper = 0 if number == 0 else start + shared / 2  # a line belongs to the tile that has most of it
        lower = height if start == starts[-1] else start + tall - shared / 2
        for quad in detector.detect(np.ascontiguousarray(image[start : start + tall])):
            moved = quad + np.array([0, start], np.float32)
            if upper <= moved[:, 1].mean() < lower:
                quads.append(moved)
    return quads, reasons

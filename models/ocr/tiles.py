"""Detect text in tall images tile by tile: in screenshots of chats and comics, letters vanish if all is scaled down."""

from typing import Final

import numpy as np

from core.records import Pixels
from models.ocr.parts import Detector, Quad

_LONG: Final = 3.0
"""Aspect ratio (height by width) from which an image is split into tiles."""
_WIDE: Final = 2000
"""Pixels: a wide image from this width on is scaled down so far that letters may vanish. Tiles would cut its lines."""
_TILE: Final = 2.0
"""Height of a tile, in widths of the image."""
_SHARED: Final = 0.25
"""Overlap of two tiles, in widths of the image; no line is higher."""
_MOST_TILES: Final = 24
"""Tiles per image; the rest is not read."""
_LEAST_WIDTH: Final = 64
"""Pixels: a narrower image has no legible line."""


def detect_in_tiles(detector: Detector, image: Pixels) -> tuple[list[Quad], list[str]]:
    """Return the boxes in the whole image, and the reasons why parts of it may not be read."""
    height, width, _ = image.shape
    if width >= max(_WIDE, _LONG * height):
        reason = f"an image of {width} by {height} pixels was scaled down as a whole: small letters may not be read"
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

"""Detect text in tall images tile by tile: in screenshots of chats and comics, letters vanish if all is scaled down."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from math import inf
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


def detect_in_tiles(detector: Detector, images: Sequence[Pixels]) -> list[tuple[list[Quad], list[str]]]:
    """Return, for each image, the boxes in the whole image, and the reasons why parts of it may not be read."""
    split = [_tiles_of(image) for image in images]
    parts = [image[it.start : it.end] for image, (tiles, _) in zip(images, split, strict=True) for it in tiles]
    found = iter(detector.detect_all(parts))
    return [(_merged(tiles, islice(found, len(tiles))), reasons) for tiles, reasons in split]


@dataclass(frozen=True, slots=True)
class _Tile:
    """Rows of an image."""

    start: int
    end: int
    """The rows `start` to `end` - 1 are searched."""
    upper: float
    lower: float
    """Boxes with their centre in these rows belong to the tile; others to the tile above or below."""


def _tiles_of(image: Pixels) -> tuple[list[_Tile], list[str]]:
    height, width, _ = image.shape
    whole = [_Tile(0, height, -inf, inf)]
    if width >= max(_WIDE, _LONG * height):
        return whole, [
            f"an image of {width} by {height} pixels was scaled down as a whole: small letters may not be read"
        ]
    if height < _LONG * width or width < _LEAST_WIDTH:
        return whole, []
    tall, shared = round(_TILE * width), round(_SHARED * width)
    starts = list(range(0, max(1, height - shared), tall - shared))
    reasons = []
    if len(starts) > _MOST_TILES:
        starts = starts[:_MOST_TILES]
        reasons.append(f"an image of {width} by {height} pixels: the first {starts[-1] + tall} rows were read")
    tiles = [
        _Tile(
            start,
            min(height, start + tall),
            -inf if start == 0 else start + shared / 2,  # a line belongs to the tile that has most of it
            inf if start == starts[-1] else start + tall - shared / 2,
        )
        for start in starts
    ]
    return tiles, reasons


def _merged(tiles: Sequence[_Tile], found: Iterable[list[Quad]]) -> list[Quad]:
    """Return the boxes of all tiles in pixels of the image, each once."""
    return [
        moved
        for tile, quads in zip(tiles, found, strict=True)
        for moved in (quad + np.array([0, tile.start], np.float32) for quad in quads)
        if tile.upper <= moved[:, 1].mean() < tile.lower
    ]

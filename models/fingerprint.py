"""What an image looks like from afar: the same for a copy of it, whatever its size and compression.

Perceptual hashes find copies of photographs. Of memes they find too many, since all captions on one template are alike
to them: so a hash only finds what may be a copy, and a grid of greys tells whether it has the same caption. A bar above
or below moves the grid: so an image that has one is seen without it as well.
"""

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.records import Pixels
from models.letterbox import crop_letterbox
from models.validation import check_pixels

_SCALED_SIDE: Final = 64
_GRID_SIDE: Final = 16
_FOLD_RATIO: Final = 3
"""Times as long as wide: of a text that is squeezed more, only its colour is left."""
_MIN_CONTRAST: Final = 2.0
"""Standard deviation of brightness, of 255."""
_HASH_BYTES: Final = _GRID_SIDE * _GRID_SIDE // 8
HASH_WORDS: Final = _HASH_BYTES // 8
GREYS: Final = _GRID_SIDE * _GRID_SIDE
BYTES: Final = _HASH_BYTES + GREYS

_MAX_HAMMING_DISTANCE: Final = 38
"""A copy differs in no more bits of 255 than this,"""
_GREY_TOLERANCE: Final = 10
_MAX_CHANGED_CELLS: Final = 0.04
"""and in more than so many greys of 255 in no more than this share of the grid's fields: docs/clusters.md has what was
measured on both sides."""
_MAX_CHANGED_CELLS_CROPPED: Final = 0.02
"""The same where one is without its bar: then there is no mark on the image."""
_MAX_CHANGED_DRAWN_CELLS: Final = 0.1
"""Nor in more than this share of the fields that are not plain ground: of a few words on it each letter counts."""


def fingerprint(image: Pixels) -> bytes | None:
    """`BYTES` of the image, then as many of it without its bar above and below, where it has them.

    An image that is long or broad is folded into columns first, so that no side of it is squeezed beyond recognition.
    Each is 32 bytes of a hash and 256 of greys. None where the image is so plain that there is nothing to tell it by.
    A bit of the hash says whether one of the lowest frequencies is above their median; the greys are the mean
    brightness of 16 x 16 fields.

    References:
        Zauner: Implementation and benchmarking of perceptual image hash functions. 2010 (pHash).
    """
    whole = _folded(np.asarray(Image.fromarray(check_pixels(image)).convert("L")))
    seen = _print(whole)
    return seen and b"".join([seen, *filter(None, map(_print, crop_letterbox(whole)))])


def _folded(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pieces of a long image side by side, of a broad one below each other; about as high as wide."""
    height, width = image.shape
    if width >= _FOLD_RATIO * height:
        return _folded(image.T).T
    if height < _FOLD_RATIO * width:
        return image
    columns = round((height / width) ** 0.5)
    rows = -(-height // columns)
    ground = np.full((rows * columns - height, width), np.median(image), np.uint8)
    return np.hstack(np.split(np.vstack([image, ground]), columns))


def _print(image: NDArray[np.uint8]) -> bytes | None:
    # Not a box: of small images it takes some pixels twice and others once, which ones depends on the size.
    small = Image.fromarray(image).resize((_SCALED_SIDE, _SCALED_SIDE), Image.Resampling.BILINEAR)
    grey = np.asarray(small, np.float64)
    if grey.std() < _MIN_CONTRAST:
        return None
    waves = _cosines()
    lowest = (waves @ grey @ waves.T).ravel()
    bits = lowest > np.median(lowest[1:])
    bits[0] = False  # how bright it is as a whole says nothing
    fields = grey.reshape(_GRID_SIDE, _SCALED_SIDE // _GRID_SIDE, _GRID_SIDE, _SCALED_SIDE // _GRID_SIDE).mean(
        axis=(1, 3)
    )
    greys: bytes = np.rint(fields).astype(np.uint8).tobytes()
    return bytes(np.packbits(bits)) + greys


def copied(
    fingerprint: bytes, hashes: NDArray[np.uint64], greys: NDArray[np.uint8], whole: NDArray[np.bool_]
) -> int | None:
    """Which of the others the image is a copy of or the other way round; the nearest, or none.

    Two without their bars are not compared: what told them apart may have stood there.

    Args:
        fingerprint: Of the image.
        hashes: Of the others, shape (`HASH_WORDS`, n): a word of all lies in one piece.
        greys: Of the others, shape (n, `GREYS`).
        whole: Shape (n,): which of them are of images as they are, rather than without a bar.
    """
    seen, *without = np.frombuffer(fingerprint, np.uint8).reshape(-1, BYTES)
    found = _near(seen, hashes, greys, whole, (_MAX_CHANGED_CELLS, _MAX_CHANGED_CELLS_CROPPED))
    for it in without:
        found += _near(it, hashes, greys, whole, (_MAX_CHANGED_CELLS_CROPPED, None))
    return min(found, default=(0.0, 0, None))[2]


def _near(
    one: NDArray[np.uint8],
    hashes: NDArray[np.uint64],
    greys: NDArray[np.uint8],
    whole: NDArray[np.bool_],
    limits: tuple[float, float | None],
) -> list[tuple[float, int, int | None]]:
    """Share of fields and number of bits that differ, and which it is, of those that are near.

    `limits` are of fields, for others that are whole and for those without a bar; None: these are not compared.
    """
    words = one[:_HASH_BYTES].view(np.uint64)
    bits = np.bitwise_count(hashes[0] ^ words[0]).astype(np.int16)
    for word in range(1, HASH_WORDS):
        bits += np.bitwise_count(hashes[word] ^ words[word])
    near = np.flatnonzero(bits <= _MAX_HAMMING_DISTANCE)
    if not len(near):
        return []
    apart = _evened(greys[near]) - _evened(one[None, _HASH_BYTES:])
    fields = (np.abs(apart) > _GREY_TOLERANCE).mean(axis=1)
    of_whole, of_others = limits
    most = _MAX_CHANGED_DRAWN_CELLS * _drawn(one[_HASH_BYTES:])
    limit = np.minimum(np.where(whole[near], of_whole, -1.0 if of_others is None else of_others), most)
    return [(float(fields[it]), int(bits[near[it]]), int(near[it])) for it in np.flatnonzero(fields <= limit)]


def _drawn(greys: NDArray[np.uint8]) -> float:
    """Share of the fields in which there is more than the ground."""
    return float((np.abs(greys - np.median(greys)) > _GREY_TOLERANCE).mean())


def _evened(greys: NDArray[np.uint8]) -> NDArray[np.float64]:
    """As if all images were equally bright."""
    evened: NDArray[np.float64] = greys - greys.mean(axis=1, keepdims=True)
    return evened


@cache
def _cosines() -> NDArray[np.float64]:
    """The lowest waves of the discrete cosine transform, shape (16, 64)."""
    steps = np.pi / _SCALED_SIDE * (np.arange(_SCALED_SIDE) + 0.5)
    waves: NDArray[np.float64] = np.cos(np.arange(_GRID_SIDE)[:, None] * steps[None])
    waves[0] /= np.sqrt(2)
    return waves

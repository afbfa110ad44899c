"""Perceptual fingerprints of images: nearly the same for every copy of an image, whatever its size and compression.

A perceptual hash (pHash) finds copies of photographs. Of memes it finds too many, because all captions on one template
hash alike. So the hash only selects candidates, and a grid of grey values then checks that the caption is the same. A
bar above or below the image (letterbox) shifts the grid, so an image with a bar gets a second fingerprint without it.
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
"""Pixels: images are scaled to 64 x 64 before the discrete cosine transform (DCT)."""
_GRID_SIDE: Final = 16
"""Cells: the grid has 16 x 16, and so have the DCT coefficients that are kept."""
_FOLD_RATIO: Final = 3
"""Aspect ratio from which an image is folded: if text is squeezed further, only its colour is left."""
_MIN_CONTRAST: Final = 2.0
"""Standard deviation of brightness, of 255. A plainer image has no fingerprint."""
_HASH_BYTES: Final = _GRID_SIDE * _GRID_SIDE // 8
HASH_WORDS: Final = _HASH_BYTES // 8
"""Length of a hash in uint64 words: 4."""
GREY_CELLS: Final = _GRID_SIDE * _GRID_SIDE
"""Cells of the grid of grey values: 256, one byte each."""
FINGERPRINT_BYTES: Final = _HASH_BYTES + GREY_CELLS
"""Length of one fingerprint: 32 bytes of hash, then 256 of grey values."""

# docs/clusters.md has the measurements on both sides of these limits.
_MAX_HAMMING_DISTANCE: Final = 38
"""Hamming distance of two hashes, of 255 bits, up to which one image may be a copy of the other."""
_GREY_TOLERANCE: Final = 10
"""Difference of two grey values, of 255, above which a cell counts as changed."""
_MAX_CHANGED_CELLS: Final = 0.04
"""Share of the 256 cells that may differ between an image and its copy."""
_MAX_CHANGED_CELLS_CROPPED: Final = 0.02
"""The same if one of the two had its bar cropped. It is stricter: such a copy has no watermark on the image itself."""
_MAX_CHANGED_DRAWN_CELLS: Final = 0.1
"""Share of the cells with content that may differ: in an image of a few words on a plain ground, each letter counts."""


def fingerprint(image: Pixels) -> bytes | None:
    """Compute the fingerprint of an image, followed by one for each bar that can be cropped off.

    Each fingerprint is a 32-byte pHash, then 256 grey values. A bit of the hash says whether one of the 16 x 16 lowest
    DCT coefficients is above their median; the first coefficient (mean brightness) is ignored, which leaves 255 bits.
    The grey values are the mean brightness of 16 x 16 cells. An image that is more than three times as long as wide, or
    as wide as long, is first folded into columns, so that neither side is squeezed beyond recognition.

    Args:
        image: uint8 RGB, shape (height, width, 3).

    Returns:
        One to three times `FINGERPRINT_BYTES`, or None if the image is too plain to be recognised.

    References:
        Zauner: Implementation and benchmarking of perceptual image hash functions. 2010 (pHash).
    """
    grey = _fold(np.asarray(Image.fromarray(check_pixels(image)).convert("L")))
    whole = _hash_and_greys(grey)
    return whole and b"".join([whole, *filter(None, map(_hash_and_greys, crop_letterbox(grey)))])


def _fold(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Make an image about square: place pieces of a tall one side by side, of a wide one below each other."""
    height, width = image.shape
    if width >= _FOLD_RATIO * height:
        return _fold(image.T).T
    if height < _FOLD_RATIO * width:
        return image
    columns = round((height / width) ** 0.5)
    rows = -(-height // columns)
    padding = np.full((rows * columns - height, width), np.median(image), np.uint8)
    return np.hstack(np.split(np.vstack([image, padding]), columns))


def _hash_and_greys(image: NDArray[np.uint8]) -> bytes | None:
    """Compute the pHash and the grey values of a grey image; None if its contrast is too low."""
    # Bilinear, not box: in small images a box filter counts some pixels twice, and which ones depends on the size.
    small = Image.fromarray(image).resize((_SCALED_SIDE, _SCALED_SIDE), Image.Resampling.BILINEAR)
    grey = np.asarray(small, np.float64)
    if grey.std() < _MIN_CONTRAST:
        return None
    basis = _dct_basis()
    coefficients = (basis @ grey @ basis.T).ravel()
    bits = coefficients > np.median(coefficients[1:])
    bits[0] = False  # the mean brightness says nothing
    cells = grey.reshape(_GRID_SIDE, _SCALED_SIDE // _GRID_SIDE, _GRID_SIDE, _SCALED_SIDE // _GRID_SIDE).mean(
        axis=(1, 3)
    )
    greys: bytes = np.rint(cells).astype(np.uint8).tobytes()
    return bytes(np.packbits(bits)) + greys


def nearest_copy(
    fingerprint: bytes, hashes: NDArray[np.uint64], greys: NDArray[np.uint8], whole: NDArray[np.bool_]
) -> int | None:
    """Find the nearest known fingerprint whose image is a copy of this one, or the other way round.

    Two cropped fingerprints are never compared: the caption in which they differ may have been in the cropped bar.

    Args:
        fingerprint: Of the image, as `fingerprint` returns it.
        hashes: Known hashes, shape (`HASH_WORDS`, n), so that word i of all hashes is contiguous.
        greys: Known grey values, shape (n, `GREY_CELLS`).
        whole: Shape (n,): False for the fingerprints of cropped images.

    Returns:
        Its index, 0 to n - 1, or None if the image is not a copy.
    """
    own, *cropped = np.frombuffer(fingerprint, np.uint8).reshape(-1, FINGERPRINT_BYTES)
    found = _copies(own, hashes, greys, whole, (_MAX_CHANGED_CELLS, _MAX_CHANGED_CELLS_CROPPED))
    for it in cropped:
        found += _copies(it, hashes, greys, whole, (_MAX_CHANGED_CELLS_CROPPED, None))
    return min(found, default=(0.0, 0, None))[2]


def _copies(
    one: NDArray[np.uint8],
    hashes: NDArray[np.uint64],
    greys: NDArray[np.uint8],
    whole: NDArray[np.bool_],
    limits: tuple[float, float | None],
) -> list[tuple[float, int, int | None]]:
    """List the copies of one fingerprint as (share of changed cells, Hamming distance, index).

    `limits` are the shares of changed cells allowed for whole and for cropped images; None: cropped ones are skipped.
    """
    words = one[:_HASH_BYTES].view(np.uint64)
    distances = np.bitwise_count(hashes[0] ^ words[0]).astype(np.int16)
    for word in range(1, HASH_WORDS):
        distances += np.bitwise_count(hashes[word] ^ words[word])
    near = np.flatnonzero(distances <= _MAX_HAMMING_DISTANCE)
    if not len(near):
        return []
    difference = _subtract_mean(greys[near]) - _subtract_mean(one[None, _HASH_BYTES:])
    changed = (np.abs(difference) > _GREY_TOLERANCE).mean(axis=1)
    of_whole, of_cropped = limits
    most = _MAX_CHANGED_DRAWN_CELLS * _drawn_share(one[_HASH_BYTES:])
    limit = np.minimum(np.where(whole[near], of_whole, -1.0 if of_cropped is None else of_cropped), most)
    return [(float(changed[it]), int(distances[near[it]]), int(near[it])) for it in np.flatnonzero(changed <= limit)]


def _drawn_share(greys: NDArray[np.uint8]) -> float:
    """Return the share of cells that differ from the background, which is the median grey."""
    return float((np.abs(greys - np.median(greys)) > _GREY_TOLERANCE).mean())


def _subtract_mean(greys: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Subtract each row's mean, so that all images are equally bright."""
    centred: NDArray[np.float64] = greys - greys.mean(axis=1, keepdims=True)
    return centred


@cache
def _dct_basis() -> NDArray[np.float64]:
    """Return the 16 lowest basis vectors of the discrete cosine transform, shape (16, 64)."""
    steps = np.pi / _SCALED_SIDE * (np.arange(_SCALED_SIDE) + 0.5)
    basis: NDArray[np.float64] = np.cos(np.arange(_GRID_SIDE)[:, None] * steps[None])
    basis[0] /= np.sqrt(2)
    return basis

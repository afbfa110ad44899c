"""Crop quadrilaterals from an image, rectified and upright."""

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from core.records import Pixels
from models.ocr.parts import Quad

_UPRIGHT: Final = 1.5
"""A box this many times as tall as wide has a vertical line: one rotated by 90 degrees."""


def clockwise(corners: NDArray[Any]) -> Quad:
    """Order four corners, shape (4, 2), clockwise from the top left."""
    by_x = corners[np.argsort(corners[:, 0], kind="stable")]
    left, right = by_x[:2], by_x[2:]
    (top_left, bottom_left), (top_right, bottom_right) = (side[np.argsort(side[:, 1])] for side in (left, right))
    return np.array([top_left, top_right, bottom_right, bottom_left], np.float32)


def is_upended(quad: Quad) -> bool:
    """Check whether a box is so much taller than wide that its line runs up or down."""
    across, down = _size(quad)
    return max(1, round(down)) >= _UPRIGHT * max(1, round(across))


def _size(quad: Quad) -> tuple[float, float]:
    across = max(np.linalg.norm(quad[0] - quad[1]), np.linalg.norm(quad[3] - quad[2]))
    down = max(np.linalg.norm(quad[0] - quad[3]), np.linalg.norm(quad[1] - quad[2]))
    return float(across), float(down)


def cut(image: Pixels, quad: Quad) -> Pixels:
    """Crop `quad` and rectify it to at least 1 x 1 pixels; rotate it by 90 degrees if its line is vertical."""
    height, width = image.shape[:2]
    quad = np.clip(quad, 0, (width, height)).astype(np.float32)
    across, down = _size(quad)
    size = max(1, round(across)), max(1, round(down))
    target = np.array([[0, 0], [size[0], 0], size, [0, size[1]]], np.float32)
    turn = cv2.getPerspectiveTransform(quad, target)
    crop = cv2.warpPerspective(image, turn, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.ascontiguousarray(np.rot90(crop) if is_upended(quad) else crop, np.uint8)

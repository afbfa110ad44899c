"""Cutting quadrilaterals out of a picture, upright."""

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from core.records import Pixels
from models.ocr.parts import Quad

_UPRIGHT: Final = 1.5
"""A box so much taller than wide holds a line turned by a quarter."""


def clockwise(corners: NDArray[Any]) -> Quad:
    """The corners in order from the top left."""
    by_x = corners[np.argsort(corners[:, 0], kind="stable")]
    left, right = by_x[:2], by_x[2:]
    (top_left, bottom_left), (top_right, bottom_right) = (side[np.argsort(side[:, 1])] for side in (left, right))
    return np.array([top_left, top_right, bottom_right, bottom_left], np.float32)


def cut(picture: Pixels, quad: Quad) -> Pixels:
    """What is in `quad`, straightened, at least 1 x 1; turned by a quarter where it is much taller than wide."""
    height, width = picture.shape[:2]
    quad = np.clip(quad, 0, (width, height)).astype(np.float32)
    across = max(np.linalg.norm(quad[0] - quad[1]), np.linalg.norm(quad[3] - quad[2]))
    down = max(np.linalg.norm(quad[0] - quad[3]), np.linalg.norm(quad[1] - quad[2]))
    size = max(1, round(float(across))), max(1, round(float(down)))
    target = np.array([[0, 0], [size[0], 0], size, [0, size[1]]], np.float32)
    turn = cv2.getPerspectiveTransform(quad, target)
    crop = cv2.warpPerspective(picture, turn, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.ascontiguousarray(np.rot90(crop) if size[1] >= _UPRIGHT * size[0] else crop, np.uint8)

"""PP-OCR's text detector, an ONNX graph: differentiable binarisation (DB, Liao et al. 2020, arXiv:1911.08947)."""

from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from core.records import Pixels
from models.ocr.crops import clockwise
from models.ocr.onnx import Network, normalised
from models.ocr.parts import Detector, Quad
from models.runtime import Runtime

DETECTOR_FILE: Final = "PP-OCRv6_det_small.onnx"
_STRIDE: Final = 32
"""Pixels: sides of the network's input are multiples of this."""
_COARSE: Final = 64
"""The same with two passes: engines compile for each new shape, and this gives fewer."""
_TEXT: Final = 0.3
"""Probability above which a pixel of the map is text; this and the next two are the model's own settings."""
_BOX: Final = 0.5
"""Boxes with a lower mean probability are dropped."""
_GROW: Final = 1.6
"""The network predicts shrunk text: each side of a box is moved outwards by this times area over perimeter."""
_FIRST: Final = 2 / 3
"""Share of the canvas for the first of two passes."""
_SMALL: Final = 16.0
"""Pixels in the first pass: if a line is lower, others may have been missed, and a second pass follows."""
_LEAST_SIDE: Final = 3
"""Pixels of the map: smaller regions are dropped."""


class DbDetector(Detector):
    """A detector of lines of text; words that are far apart give separate boxes."""

    def __init__(self, graph: Path, runtime: Runtime, canvas: int, *, looks_twice: bool = False) -> None:
        """Load the network in `graph`.

        Args:
            graph: An ONNX file.
            runtime: Runtime of the network.
            canvas: Longest side of the network's input in pixels; time grows with its square.
            looks_twice: Run a first pass on two thirds of the canvas, and one on all of it only if that finds small
                letters or none. Inputs have fewer shapes, to which images are squeezed.
        """
        self._network = Network(graph, runtime)
        self._canvas = canvas
        self._first = round(_FIRST * canvas) if looks_twice else canvas
        self._stride = _COARSE if looks_twice else _STRIDE

    def detect(self, image: Pixels) -> list[Quad]:
        """Find boxes of text, in any order."""
        longest = max(image.shape[:2])
        quads = self._look(image, self._first)
        if longest <= self._first or self._first == self._canvas:
            return quads
        lowest = min((_height(quad) for quad in quads), default=0.0) * self._first / longest
        return quads if lowest >= _SMALL else self._look(image, self._canvas)

    def text_of(self, image: Pixels) -> NDArray[np.bool_]:
        """Return which pixels of the network's input are text, shape (rows, columns)."""
        return self._heat(image, self._canvas) > _TEXT

    def _look(self, image: Pixels, canvas: int) -> list[Quad]:
        heat = self._heat(image, canvas)
        back = np.array([image.shape[1] / heat.shape[1], image.shape[0] / heat.shape[0]], np.float32)
        return [quad * back for quad in boxes_of(heat)]

    def _heat(self, image: Pixels, canvas: int) -> NDArray[np.float32]:
        heat: NDArray[np.float32] = self._network(preprocess(image, canvas, self._stride))[0, 0]
        return heat


def preprocess(image: Pixels, canvas: int, stride: int = _STRIDE) -> NDArray[np.float32]:
    """Preprocess an image to shape (1, 3, rows, columns): about `canvas` pixels at most, multiples of `stride`."""
    height, width, _ = image.shape
    scale = min(1.0, canvas / max(height, width))
    rows, columns = (max(stride, round(side * scale / stride) * stride) for side in (height, width))
    return normalised(cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA))


def _height(quad: Quad) -> float:
    """Return the height of the line in a box, which may be vertical."""
    return float(min(np.linalg.norm(quad[1] - quad[0]), np.linalg.norm(quad[3] - quad[0])))


def boxes_of(heat: NDArray[np.float32]) -> list[Quad]:
    """Find boxes of text in a probability map of shape (rows, columns); corners are in its pixels."""
    mask = cv2.dilate((heat > _TEXT).astype(np.uint8), np.ones((2, 2), np.uint8))
    contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    found = []
    for contour in contours:
        centre, (width, height), angle = cv2.minAreaRect(contour)
        if min(width, height) < _LEAST_SIDE or _mean(heat, cv2.boxPoints((centre, (width, height), angle))) < _BOX:
            continue
        grown = _GROW * width * height / (width + height)  # for both sides: twice area over perimeter
        found.append(clockwise(cv2.boxPoints((centre, (width + grown, height + grown), angle))))
    return found


def _mean(heat: NDArray[np.float32], box: NDArray[Any]) -> float:
    """Return the mean of the map inside a box."""
    left, top = np.maximum(np.floor(box.min(axis=0)).astype(int), 0)
    right, bottom = np.ceil(box.max(axis=0)).astype(int) + 1
    part = heat[top:bottom, left:right]
    mask = np.zeros(part.shape, np.uint8)
    cv2.fillPoly(mask, [(box - (left, top)).astype(np.int32)], 1)
    return float(cv2.mean(part, mask)[0])

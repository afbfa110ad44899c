"""PP-OCR's detector: differentiable binarisation (Liao et al. 2020, arXiv:1911.08947); an ONNX graph."""

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
"""Sides of what the network sees are multiples of this."""
_COARSE: Final = 64
"""The same where it looks twice: engines compile for each new shape, and so there are fewer."""
_TEXT: Final = 0.3
"""A pixel of the map above this is text; this and the next two are the model's own settings."""
_BOX: Final = 0.5
"""Mean of the map in a box, below which the box is dropped."""
_GROW: Final = 1.6
"""The network draws text shrunk: each side of a box moves out by this times area over circumference."""
_FIRST: Final = 2 / 3
"""Of the canvas, what a first look is at."""
_SMALL: Final = 16.0
"""Pixels of a first look: where a line is lower, others may have been missed, and the image is looked at again."""
_LEAST_SIDE: Final = 3
"""Pixels of the map, below which a region is dropped."""


class DbDetector(Detector):
    """Lines of text; a line falls apart where its words are far from each other."""

    def __init__(self, graph: Path, runtime: Runtime, canvas: int, *, looks_twice: bool = False) -> None:
        """Open the network in `graph`.

        Args:
            graph: Its file.
            runtime: What it computes on.
            canvas: Longest side, in pixels, that the network sees; its time grows with the square.
            looks_twice: Look at two thirds of the canvas first, and at all of it only where that finds small letters or
                none; images are squeezed to fewer shapes.
        """
        self._network = Network(graph, runtime)
        self._canvas = canvas
        self._first = round(_FIRST * canvas) if looks_twice else canvas
        self._stride = _COARSE if looks_twice else _STRIDE

    def detect(self, image: Pixels) -> list[Quad]:
        """Boxes in no order."""
        longest = max(image.shape[:2])
        quads = self._look(image, self._first)
        if longest <= self._first or self._first == self._canvas:
            return quads
        lowest = min((_height(quad) for quad in quads), default=0.0) * self._first / longest
        return quads if lowest >= _SMALL else self._look(image, self._canvas)

    def text_of(self, image: Pixels) -> NDArray[np.bool_]:
        """Which pixels of what the network sees are text."""
        return self._heat(image, self._canvas) > _TEXT

    def _look(self, image: Pixels, canvas: int) -> list[Quad]:
        heat = self._heat(image, canvas)
        back = np.array([image.shape[1] / heat.shape[1], image.shape[0] / heat.shape[0]], np.float32)
        return [quad * back for quad in boxes_of(heat)]

    def _heat(self, image: Pixels, canvas: int) -> NDArray[np.float32]:
        heat: NDArray[np.float32] = self._network(seen_on(image, canvas, self._stride))[0, 0]
        return heat


def seen_on(image: Pixels, canvas: int, stride: int = _STRIDE) -> NDArray[np.float32]:
    """What the network sees of an image: some `canvas` pixels a side at most, multiples of `stride`."""
    height, width, _ = image.shape
    scale = min(1.0, canvas / max(height, width))
    rows, columns = (max(stride, round(side * scale / stride) * stride) for side in (height, width))
    return normalised(cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA))


def _height(quad: Quad) -> float:
    """Of the line in a box, whichever way it runs."""
    return float(min(np.linalg.norm(quad[1] - quad[0]), np.linalg.norm(quad[3] - quad[0])))


def boxes_of(heat: NDArray[np.float32]) -> list[Quad]:
    """Boxes of the text in a map of 0 to 1, in its pixels."""
    mask = cv2.dilate((heat > _TEXT).astype(np.uint8), np.ones((2, 2), np.uint8))
    contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    found = []
    for contour in contours:
        centre, (width, height), angle = cv2.minAreaRect(contour)
        if min(width, height) < _LEAST_SIDE or _mean(heat, cv2.boxPoints((centre, (width, height), angle))) < _BOX:
            continue
        grown = _GROW * width * height / (width + height)  # both sides: twice area over circumference
        found.append(clockwise(cv2.boxPoints((centre, (width + grown, height + grown), angle))))
    return found


def _mean(heat: NDArray[np.float32], box: NDArray[Any]) -> float:
    """Mean of the map in a box."""
    left, top = np.maximum(np.floor(box.min(axis=0)).astype(int), 0)
    right, bottom = np.ceil(box.max(axis=0)).astype(int) + 1
    part = heat[top:bottom, left:right]
    mask = np.zeros(part.shape, np.uint8)
    cv2.fillPoly(mask, [(box - (left, top)).astype(np.int32)], 1)
    return float(cv2.mean(part, mask)[0])

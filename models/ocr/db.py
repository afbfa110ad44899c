"""PP-OCR's text detector, an ONNX graph: differentiable binarisation (DB, Liao et al. 2020, arXiv:1911.08947)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from core.records import Pixels
from models.engine import Device
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
_MOST_TOGETHER: Final[dict[Device, int]] = {"cpu": 1, "cuda": 8}
"""Images of one shape in a pass: a CPU is no faster with several, a GPU is."""
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
                letters or none. Inputs have fewer shapes, to which images are squeezed. On a GPU, images of one shape
                form batches.
        """
        self._network = Network(graph, runtime)
        self._canvas = canvas
        self._first = round(_FIRST * canvas) if looks_twice else canvas
        self._stride = _COARSE if looks_twice else _STRIDE
        self._together = _MOST_TOGETHER[runtime.device] if looks_twice else 1

    def detect(self, image: Pixels) -> list[Quad]:
        """Find boxes of text, in any order."""
        return self.detect_all([image])[0]

    def detect_all(self, images: Sequence[Pixels]) -> list[list[Quad]]:
        """Find the boxes of each image, in the order of the images."""
        found = self._look(images, self._first)
        again = [place for place, quads in enumerate(found) if self._needs_second(images[place], quads)]
        for place, quads in zip(again, self._look([images[place] for place in again], self._canvas), strict=True):
            found[place] = quads
        return found

    def text_of(self, image: Pixels) -> NDArray[np.bool_]:
        """Return which pixels of the network's input are text, shape (rows, columns)."""
        text: NDArray[np.bool_] = self._heat([image], input_size(image, self._canvas, self._stride))[0] > _TEXT
        return text

    def _needs_second(self, image: Pixels, quads: Sequence[Quad]) -> bool:
        longest = max(image.shape[:2])
        if longest <= self._first or self._first == self._canvas:
            return False
        lowest = min((_height(quad) for quad in quads), default=0.0) * self._first / longest
        return bool(lowest < _SMALL)

    def _look(self, images: Sequence[Pixels], canvas: int) -> list[list[Quad]]:
        """Run a pass on each image."""
        by_size: dict[tuple[int, int], list[int]] = {}
        for place, image in enumerate(images):
            by_size.setdefault(input_size(image, canvas, self._stride), []).append(place)
        found: dict[int, list[Quad]] = {}
        for size, places in by_size.items():
            for start in range(0, len(places), self._together):
                some = places[start : start + self._together]
                heats = self._heat([images[place] for place in some], size)
                found |= {place: _in_pixels_of(images[place], heat) for place, heat in zip(some, heats, strict=True)}
        return [found[place] for place in range(len(images))]

    def _heat(self, images: Sequence[Pixels], size: tuple[int, int]) -> NDArray[np.float32]:
        """Compute the probability maps of images that are scaled to one size, shape (images, rows, columns)."""
        tensors = [preprocess(image, size) for image in images]
        heats: NDArray[np.float32] = self._network(tensors[0] if len(tensors) == 1 else np.concatenate(tensors))[:, 0]
        return heats


def input_size(image: Pixels, canvas: int, stride: int = _STRIDE) -> tuple[int, int]:
    """Return the rows and columns to scale an image to: about `canvas` at most, multiples of `stride`."""
    height, width, _ = image.shape
    scale = min(1.0, canvas / max(height, width))
    rows, columns = (max(stride, round(side * scale / stride) * stride) for side in (height, width))
    return rows, columns


def preprocess(image: Pixels, size: tuple[int, int]) -> NDArray[np.float32]:
    """Scale an image to a size, and convert it to the network's input of shape (1, 3, rows, columns)."""
    rows, columns = size
    return normalised(cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA))


def _in_pixels_of(image: Pixels, heat: NDArray[np.float32]) -> list[Quad]:
    """Find boxes in an image's probability map; corners are in pixels of the image."""
    back = np.array([image.shape[1] / heat.shape[1], image.shape[0] / heat.shape[0]], np.float32)
    return [quad * back for quad in boxes_of(heat)]


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

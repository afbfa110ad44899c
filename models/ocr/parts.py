"""Interfaces of the two parts of OCR: a detector finds quadrilaterals, a recogniser reads the text in them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.records import Pixels

Quad = NDArray[np.float32]
"""Four corners (x, y) in pixels of the image, clockwise from the top left: shape (4, 2)."""


@dataclass(frozen=True, slots=True)
class RecognisedText:
    """The text that a recogniser read in one crop."""

    text: str
    """Empty if it read nothing."""
    confidence: float
    """0 to 1; comparable only among results of the same recogniser."""


class Detector(ABC):
    """A text detector."""

    @abstractmethod
    def detect(self, image: Pixels) -> list[Quad]:
        """Find a box for each line of text or part of one, in any order; the image has any size from 1 x 1."""

    def detect_all(self, images: Sequence[Pixels]) -> list[list[Quad]]:
        """Find the boxes of each image, in the order of the images; a GPU is faster with several at once."""
        return [self.detect(image) for image in images]


class Recogniser(ABC):
    """A text recogniser."""

    least_confidence: float
    """Results of lower confidence are not text: leaves, faces, letters too small to read."""

    sure: float
    """Results of at least this confidence are upright."""

    @abstractmethod
    def recognise(self, crops: Sequence[Pixels]) -> list[RecognisedText]:
        """Read each upright crop, in order; a result does not depend on the other crops."""

"""The two halves of OCR, chosen apart: a detector finds quadrilaterals, a recogniser reads what is in them."""

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
    """What a recogniser read in one crop."""

    text: str
    """Empty where it read nothing."""
    confidence: float
    """0 to 1; comparable among the answers of one recogniser only."""


class Detector(ABC):
    """Finds text."""

    @abstractmethod
    def detect(self, image: Pixels) -> list[Quad]:
        """A box for each line of text or part of one, in any order; the image may have any size from 1 x 1."""


class Recogniser(ABC):
    """Reads text."""

    least_confidence: float
    """What it is less sure of is no text: leaves, faces, writing too small to read."""

    sure: float
    """What it is at least so sure of stands the right way up."""

    @abstractmethod
    def recognise(self, crops: Sequence[Pixels]) -> list[RecognisedText]:
        """One answer for each upright crop, in order, the same whatever crops it comes with."""

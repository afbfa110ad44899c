"""EasyOCR's two parts: CRAFT detects words (arXiv:1904.01941), a CRNN recognises lines (arXiv:1507.05717)."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from core.records import Pixels
from models.ocr.parts import Detector, Quad, RecognisedText, Recogniser
from models.runtime import Runtime

_LEAST_SIDE: Final = 8
"""Pixels: an image whose shorter side is less, as scaled for the detector, has no legible letters."""

_EXPECTED_WARNINGS: Final = (
    ("'pin_memory' argument is set as true", UserWarning),  # the recogniser sets it on any device
    ("torch.ao.quantization is deprecated", DeprecationWarning),  # it always quantizes on a CPU
    ("torch.quantize_per_tensor", UserWarning),
)


def reader_of(folder: Path, runtime: Runtime, **halves: bool) -> Any:
    """Load EasyOCR without the parts that `halves` switch off (`detector=False` or `recognizer=False`)."""
    for message, category in _EXPECTED_WARNINGS:
        warnings.filterwarnings("ignore", message=message, category=category)
    with runtime.torchvision():
        from easyocr import Reader

        return Reader(
            ["en"],
            gpu=runtime.device == "cuda",
            model_storage_directory=str(folder),
            user_network_directory=str(folder),  # otherwise it creates a folder in the user's home
            download_enabled=False,
            verbose=False,
            **halves,
        )


class CraftDetector(Detector):
    """A detector of words by CRAFT, joined into lines by EasyOCR's own rules."""

    def __init__(self, folder: Path, runtime: Runtime, canvas: int) -> None:
        """Load it; `canvas` is the longest side of the network's input in pixels, and time grows with its square."""
        self._torch = runtime.torch()
        self._reader = reader_of(folder, runtime, recognizer=False)
        self._canvas = canvas

    def detect(self, image: Pixels) -> list[Quad]:
        """Find a box for each row of words that are close to each other."""
        height, width, _ = image.shape
        if min(height, width) * min(1.0, self._canvas / max(height, width)) < _LEAST_SIDE:
            return []
        with self._torch.inference_mode():
            level, slanted = self._reader.detect(image, canvas_size=self._canvas, reformat=False)
        upright = [
            [(left, top), (right, top), (right, bottom), (left, bottom)] for left, right, top, bottom in level[0]
        ]
        return [np.array(quad, np.float32) for quad in [*upright, *slanted[0]]]


class CrnnRecogniser(Recogniser):
    """A recogniser of English lines in grey. Crops run one by one: in a batch they affect each other's results."""

    least_confidence = 0.2
    sure = 0.6

    def __init__(self, folder: Path, runtime: Runtime) -> None:
        self._torch = runtime.torch()
        self._reader = reader_of(folder, runtime, detector=False)

    def recognise(self, crops: Sequence[Pixels]) -> list[RecognisedText]:
        """Recognise the text of each crop."""
        return [self._one(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)) for crop in crops]

    def _one(self, grey: Any) -> RecognisedText:
        height, width = grey.shape
        with self._torch.inference_mode():
            ((_, text, confidence),) = self._reader.recognize(grey, [[0, width, 0, height]], [], reformat=False)
        return RecognisedText(text.strip(), float(confidence))

"""EasyOCR: CRAFT finds the boxes (arXiv:1904.01941), a CRNN reads them (arXiv:1507.05717)."""

import warnings
from collections.abc import Sequence
from typing import Any, Self

import cv2
import numpy as np
import torch

from memewax.records import Line, Pixels, Reading
from memewax.settings import Settings
from models.base import Model
from models.inputs import check_pixels
from models.weights import Weights, ocr_weights

_LEAST_SIDE = 8
"""Pixels of a side, as the detector sees it, below which no letter can be told."""

_EXPECTED_WARNINGS = (
    ("'pin_memory' argument is set as true", UserWarning),  # the recogniser asks for it on any device
    ("torch.ao.quantization is deprecated", DeprecationWarning),  # it quantises on a CPU, whatever one asks for
    ("torch.quantize_per_tensor", UserWarning),
)


class EasyOcrReader(Model[Pixels, Reading]):
    """Lines of English text in a picture, in reading order.

    Pictures are read one at a time, since they differ in size; the boxes of one are recognised in batches on a GPU and
    singly on a CPU, which is faster there.
    """

    stage = "text"
    batch_size = 1

    def __init__(self, weights: Weights, device: str = "cpu", *, canvas: int = 1280, boxes: int = 8) -> None:
        """Load `weights`; `models.torch_runtime.prepare` comes before.

        `canvas`: longest side, in pixels, that the detector sees. `boxes`: how many are recognised at a time.
        """
        for message, category in _EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", message=message, category=category)
        from easyocr import Reader

        self.name = weights.label
        self._canvas = canvas
        self._boxes = boxes
        self._reader: Any = Reader(
            ["en"],
            gpu=device == "cuda",
            model_storage_directory=str(weights.path),
            user_network_directory=str(weights.path),  # else it makes a folder in the user's home
            download_enabled=False,
            verbose=False,
        )

    @classmethod
    def load(cls, settings: Settings, device: str) -> Self:
        """EasyOCR as the settings say; raises `WeightsError`."""
        cv2.setNumThreads(settings.threads_per_model)
        return cls(ocr_weights(settings), device, canvas=settings.ocr_canvas, boxes=settings.ocr_batch)

    def infer(self, batch: Sequence[Pixels]) -> list[Reading]:
        """A reading for each picture of any size from 1 x 1, without lines if there is no text.

        Raises `ValueError` if one is no picture.
        """
        return [self._read(check_pixels(picture)) for picture in batch]

    def _read(self, picture: Pixels) -> Reading:
        height, width, _ = picture.shape
        if min(height, width) * min(1.0, self._canvas / max(height, width)) < _LEAST_SIDE:
            return Reading()
        with torch.inference_mode():
            level, slanted = self._reader.detect(picture, canvas_size=self._canvas, reformat=False)
            found = self._reader.recognize(
                cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), level[0], slanted[0], batch_size=self._boxes, reformat=False
            )
        lines = [
            Line(text.strip(), float(confidence), tuple((float(x), float(y)) for x, y in box))
            for box, text, confidence in found
            if text.strip()
        ]
        return Reading(tuple(in_reading_order(lines)))


def in_reading_order(lines: Sequence[Line]) -> list[Line]:
    """Rows from top to bottom, each from left to right; a line's middle lies within the first of its row."""
    rows: list[list[Line]] = []
    for line in sorted(lines, key=_top):
        middle = float(np.mean([y for _, y in line.box]))
        if rows and _top(rows[-1][0]) <= middle <= max(y for _, y in rows[-1][0].box):
            rows[-1].append(line)
        else:
            rows.append([line])
    return [line for row in rows for line in sorted(row, key=lambda line: min(x for x, _ in line.box))]


def _top(line: Line) -> float:
    return min(y for _, y in line.box)

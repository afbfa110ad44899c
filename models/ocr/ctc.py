"""PP-OCR's recogniser, read out by connectionist temporal classification (Graves et al. 2006); an ONNX graph."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from core.records import Pixels
from models.ocr.onnx import Network, metadata_of, normalised
from models.ocr.parts import RecognisedText, Recogniser
from models.runtime import Runtime

_FILE: Final = "PP-OCRv6_rec_small.onnx"
_HEIGHT: Final = 48
"""Pixels to which a line is scaled, as in training."""
_LEAST_WIDTH: Final = 320
"""Shorter lines are filled up with grey to this, as in training."""
_MOST_WIDTH: Final = 3200
"""Longer lines are squeezed, so that memory stays bounded: some two hundred letters fit."""
_BLANK: Final = 0
_SPACE: Final = 0.1
"""From this probability on, a space stands between two letters. Outlined letters leave little room for spaces, and the
network then rates a space at 0.1 to 0.5 where there is one and below 0.05 inside of words (docs/ocr.md)."""


class CtcRecogniser(Recogniser):
    """Reads Latin, Chinese and Japanese, with case, punctuation and spaces; a line at a time, each at its width."""

    least_confidence = 0.8
    sure = 0.9

    def __init__(self, folder: Path, runtime: Runtime) -> None:
        self._network = Network(folder / _FILE, runtime)
        letters = metadata_of(folder / _FILE)["character"].splitlines()
        self._letters = np.array(["", *letters, " "])

    def recognise(self, crops: Sequence[Pixels]) -> list[RecognisedText]:
        """A text for each crop."""
        return [text_of(self._network(_tensor(crop))[0], self._letters) for crop in crops]


def text_of(probabilities: NDArray[np.float32], letters: NDArray[np.str_]) -> RecognisedText:
    """The likeliest path, its repetitions merged and its blanks dropped, with the spaces that were seen beside it.

    `probabilities`: shape (time, letters), rows summing to 1; the first of `letters` is the blank, the last a space.
    """
    best = probabilities.argmax(axis=1)
    kept = np.flatnonzero((best != _BLANK) & (np.diff(best, prepend=_BLANK) != 0))
    text = str(letters[best[kept[0]]]) if len(kept) else ""
    for start, end in pairwise(kept):
        letter = str(letters[best[end]])
        space = probabilities[start + 1 : end, -1].max(initial=0.0)
        one_name = text[-1].islower() and letter.isupper()  # YouTube, McDonald
        text += f" {letter}" if space >= _SPACE and not one_name else letter
    text = " ".join(text.split())
    return RecognisedText(text, round(float(probabilities[kept, best[kept]].mean()), 4) if text else 0.0)


def _tensor(crop: Pixels) -> NDArray[np.float32]:
    height, width, _ = crop.shape
    columns = min(_MOST_WIDTH, max(1, round(_HEIGHT * width / height)))
    line = normalised(cv2.resize(crop, (columns, _HEIGHT)))
    room = max(0, _LEAST_WIDTH - columns)
    return np.pad(line, ((0, 0), (0, 0), (0, 0), (0, room)))

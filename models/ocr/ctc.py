"""PP-OCR's recogniser, an ONNX graph; decoded by connectionist temporal classification (CTC, Graves et al. 2006)."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from core.records import Pixels
from models.engine import Device
from models.ocr.onnx import Network, metadata_of, normalised
from models.ocr.parts import RecognisedText, Recogniser
from models.runtime import Runtime

_FILE: Final = "PP-OCRv6_rec_small.onnx"
_HEIGHT: Final = 48
"""Pixels to which a line is scaled, as in training."""
_LEAST_WIDTH: Final = 320
"""Pixels to which single lines are padded with grey, as in training."""
_LEAST_TOGETHER: Final = 128
"""The same for lines in a batch: padding costs as much as letters, and less of it makes no line worse."""
_STEP: Final = 64
"""Pixels: lines are padded to a multiple of this, and lines of equal width form a batch."""
_PARTS: Final = 8
"""Long lines are padded by an eighth of their width at most. Engines compile for each new shape, which takes as long as
a line or two. So there are few widths, and few batch sizes, the powers of two."""
_MOST_TOGETHER: Final[dict[Device, int]] = {"cpu": 8, "cuda": 32}
"""Lines in a batch."""
_USUAL_WIDTH: Final = 320
"""Pixels: mean width of the lines in a full batch, at most, to bound memory; batches of wider lines have fewer."""
_MOST_WIDTH: Final = 3200
"""Pixels: longer lines are squeezed, to bound memory. Some two hundred letters fit."""
_BLANK: Final = 0
"""Index of CTC's blank."""
_SPACE: Final = 0.1
"""Probability from which there is a space between two letters. Outlined letters leave little room for spaces, and the
network then gives a space 0.1 to 0.5 between words and less than 0.05 inside words (docs/measurements/ocr.md)."""


class CtcRecogniser(Recogniser):
    """A recogniser of Latin, Chinese and Japanese script, with case, punctuation and spaces."""

    least_confidence = 0.8
    sure = 0.9

    def __init__(self, folder: Path, runtime: Runtime, *, reads_together: bool = False) -> None:
        """Load the network in `folder`; `reads_together`: lines of equal width form batches, else each is run alone."""
        self._network = Network(folder / _FILE, runtime)
        self._reads_together = reads_together
        self._most = _MOST_TOGETHER[runtime.device]
        letters = metadata_of(folder / _FILE)["character"].splitlines()
        self._letters = np.array(["", *letters, " "])

    def recognise(self, crops: Sequence[Pixels]) -> list[RecognisedText]:
        """Recognise the text of each crop."""
        if not self._reads_together:
            return [text for crop in crops for text in self._texts_in(_tensor(crop, _LEAST_WIDTH))]
        tensors = [_tensor(crop, _LEAST_TOGETHER, grows=True) for crop in crops]
        by_width: dict[int, list[int]] = {}
        for place, tensor in enumerate(tensors):
            by_width.setdefault(tensor.shape[3], []).append(place)
        found: dict[int, RecognisedText] = {}
        for width, places in by_width.items():
            left = places
            while left:
                fitting = max(1, self._most * _USUAL_WIDTH // width)
                some = left[: _power_of_two(min(len(left), self._most, fitting))]
                left = left[len(some) :]
                texts = self._texts_in(np.concatenate([tensors[place] for place in some]))
                found.update(zip(some, texts, strict=True))
        return [found[place] for place in range(len(crops))]

    def _texts_in(self, lines: NDArray[np.float32]) -> list[RecognisedText]:
        return self._network.read(lines, lambda answers: [text_of(it, self._letters) for it in answers])


def text_of(probabilities: NDArray[np.float32], letters: NDArray[np.str_]) -> RecognisedText:
    """Decode the best path: merge repetitions, drop blanks, and insert spaces that are likely between letters.

    Args:
        probabilities: Shape (time, letters), rows summing to 1.
        letters: Shape (letters,); the first is the blank, the last a space.
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


def _tensor(crop: Pixels, least_width: int, *, grows: bool = False) -> NDArray[np.float32]:
    """Preprocess a line to shape (1, 3, 48, width), padded to `least_width`; `grows`: padded to one of a few widths."""
    height, width, _ = crop.shape
    columns = min(_MOST_WIDTH, max(1, round(_HEIGHT * width / height)))
    line = normalised(cv2.resize(crop, (columns, _HEIGHT)))
    room = max(least_width, _filled_up(columns) if grows else columns) - columns
    return np.pad(line, ((0, 0), (0, 0), (0, 0), (0, room)))


def _filled_up(columns: int) -> int:
    """Return the width to pad a line to, at most an eighth more or up to a multiple of 64 pixels."""
    step = max(_STEP, _power_of_two(max(1, columns - 1)) // _PARTS)
    return -(-columns // step) * step


def _power_of_two(number: int) -> int:
    """Return the largest power of two up to `number`, which is at least 1."""
    return 1 << (number.bit_length() - 1)

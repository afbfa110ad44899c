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
"""Shorter lines are filled up with grey to this, as in training, where lines go singly."""
_LEAST_TOGETHER: Final = 128
"""The same where lines go together: what is grey is computed as letters are, and nothing is read worse without."""
_STEP: Final = 64
"""Lines go together that are as wide, once they are filled up to a multiple of this."""
_PARTS: Final = 8
"""Longer ones are filled up by an eighth of their width at most. Engines compile for each new shape, which takes as
long as a line or two: so there are few widths, and few counts of lines, the powers of two."""
_MOST_TOGETHER: Final = 8
_MOST_COLUMNS: Final = 8 * 320
"""Of all lines that go together, so that memory stays bounded."""
_MOST_WIDTH: Final = 3200
"""Longer lines are squeezed, so that memory stays bounded: some two hundred letters fit."""
_BLANK: Final = 0
_SPACE: Final = 0.1
"""From this probability on, a space stands between two letters. Outlined letters leave little room for spaces, and the
network then rates a space at 0.1 to 0.5 where there is one and below 0.05 inside of words (docs/ocr.md)."""


class CtcRecogniser(Recogniser):
    """Reads Latin, Chinese and Japanese, with case, punctuation and spaces; each line at its width."""

    least_confidence = 0.8
    sure = 0.9

    def __init__(self, folder: Path, runtime: Runtime, *, reads_together: bool = False) -> None:
        """Open the network in `folder`; `reads_together`: lines of one width go through it together, else singly."""
        self._network = Network(folder / _FILE, runtime)
        self._reads_together = reads_together
        letters = metadata_of(folder / _FILE)["character"].splitlines()
        self._letters = np.array(["", *letters, " "])

    def recognise(self, crops: Sequence[Pixels]) -> list[RecognisedText]:
        """A text for each crop."""
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
                some = left[: _power_of_two(min(len(left), _MOST_TOGETHER, max(1, _MOST_COLUMNS // width)))]
                left = left[len(some) :]
                texts = self._texts_in(np.concatenate([tensors[place] for place in some]))
                found.update(zip(some, texts, strict=True))
        return [found[place] for place in range(len(crops))]

    def _texts_in(self, lines: NDArray[np.float32]) -> list[RecognisedText]:
        return self._network.read(lines, lambda answers: [text_of(it, self._letters) for it in answers])


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


def _tensor(crop: Pixels, least_width: int, *, grows: bool = False) -> NDArray[np.float32]:
    """A line as the network wants it, filled up to `least_width`; `grows`: and to one of a few widths."""
    height, width, _ = crop.shape
    columns = min(_MOST_WIDTH, max(1, round(_HEIGHT * width / height)))
    line = normalised(cv2.resize(crop, (columns, _HEIGHT)))
    room = max(least_width, _filled_up(columns) if grows else columns) - columns
    return np.pad(line, ((0, 0), (0, 0), (0, 0), (0, room)))


def _filled_up(columns: int) -> int:
    """The width to which a line of so many columns is filled up: at most an eighth more, or to a multiple of 64."""
    step = max(_STEP, _power_of_two(max(1, columns - 1)) // _PARTS)
    return -(-columns // step) * step


def _power_of_two(number: int) -> int:
    """The largest one that is no larger; of 1 and more."""
    return 1 << (number.bit_length() - 1)

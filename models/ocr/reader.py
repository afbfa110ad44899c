"""OCR by a detector and a recogniser, with corrections: tiles, upside-down lines, reading order."""

import re
from collections.abc import Sequence
from itertools import islice
from typing import Final

import numpy as np

from core.records import Line, Pixels, Reading
from models.base import Model
from models.ocr.crops import cut, is_upended
from models.ocr.line_orientation import Turn, in_order
from models.ocr.parts import Detector, Quad, RecognisedText, Recogniser
from models.ocr.tiles import detect_in_tiles
from models.validation import check_pixels

_MOST_LINES: Final = 200
"""Boxes that are read per image, the largest ones; a page of a book has fifty lines."""
_MOST_TURNED: Final = 50
"""Boxes per image that are read a second time, upside down."""
_LINE: Final = 2.5
"""A box without known letters is a line of writing if it is this many times as long as high; else it may be a face."""
_LETTERS: Final = 3
"""And if it is not higher than one third of the image's shorter side: letters as large as that would be legible."""
_GREEK: Final = ("\u0370", "\u03ff")
_MARKED: Final = re.compile("[\u0100-\u024f\u1e00-\u1eff]")
_WESTERN: Final = frozenset("\u0152\u0153\u0178\u1e9e")
"""Among those, the letters of French and German."""
_LOST: Final = (
    "letters with marks beyond those of western Europe may be missing or without them: "
    "Vietnamese, Czech, Polish, Turkish and the like (docs/ocr.md)"
)
_UNKNOWN: Final = (
    "writing was found that was not read: of another script than Latin, Chinese or Japanese, or not clear (docs/ocr.md)"
)


class OcrReader(Model[Pixels, Reading]):
    """OCR: the lines of text in an image, in reading order, in any of four orientations."""

    stage = "text"

    def __init__(
        self,
        name: str,
        detector: Detector,
        recogniser: Recogniser,
        engine: str = "",
        precision: str = "",
        batch_size: int = 1,
    ) -> None:
        """Combine both parts; the lines of `batch_size` images are recognised together."""
        self.name = name
        self.batch_size = batch_size
        self.engine, self.precision = engine, precision
        self._detector = detector
        self._recogniser = recogniser

    def infer(self, batch: Sequence[Pixels]) -> list[Reading]:
        """Read each image, of any size from 1 x 1; a reading has no lines if there is no text.

        Raises `ValueError` if one is not an image.
        """
        images = [check_pixels(image) for image in batch]
        found = [_largest(quads, reasons) for quads, reasons in detect_in_tiles(self._detector, images)]
        crops = [cut(image, quad) for image, (quads, _) in zip(images, found, strict=True) for quad in quads]
        texts = iter(self._recogniser.recognise(crops))
        return [
            self._read(image, quads, list(islice(texts, len(quads))), reasons)
            for image, (quads, reasons) in zip(images, found, strict=True)
        ]

    def _read(
        self, image: Pixels, quads: Sequence[Quad], texts: Sequence[RecognisedText], reasons: list[str]
    ) -> Reading:
        turned = self._turned(image, quads, texts)
        least = self._recogniser.least_confidence
        lines: list[tuple[Line, Turn]] = []
        is_unknown = False
        for place, (quad, text) in enumerate(zip(quads, texts, strict=True)):
            seen = turned.get(place, text)
            if seen.text and seen.confidence >= least:
                lines.append((_line(quad, seen), _turn(quad, is_turned=place in turned)))
                is_unknown |= any(_GREEK[0] <= letter <= _GREEK[1] for letter in seen.text)
            elif not seen.text:
                is_unknown |= _is_writing(quad, image)
        if is_unknown:
            reasons.append(_UNKNOWN)
        if any(set(_MARKED.findall(line.text)) - _WESTERN for line, _ in lines):
            reasons.append(_LOST)
        return Reading(tuple(in_order(lines)), "; ".join(reasons))

    def _turned(
        self, image: Pixels, quads: Sequence[Quad], texts: Sequence[RecognisedText]
    ) -> dict[int, RecognisedText]:
        """Return the texts that are read better upside down, by index.

        Tried for vertical lines of low confidence, and for all such lines if they make up most of the image's text.
        """
        sure = self._recogniser.sure
        doubtful = [place for place, text in enumerate(texts) if text.text and text.confidence < sure]
        is_most = sum(_area(quads[it]) for it in doubtful) > 0.5 * sum(_area(quad) for quad in quads)
        tried = [it for it in doubtful if is_most or is_upended(quads[it])][:_MOST_TURNED]
        again = self._recogniser.recognise([np.ascontiguousarray(np.rot90(cut(image, quads[it]), 2)) for it in tried])
        pairs = zip(tried, again, strict=True)
        return {place: text for place, text in pairs if text.text and text.confidence > texts[place].confidence}


def _largest(quads: list[Quad], reasons: list[str]) -> tuple[list[Quad], list[str]]:
    """Return the boxes to read, and the reasons why others are left out."""
    if len(quads) <= _MOST_LINES:
        return quads, reasons
    reason = f"{len(quads)} lines were found, and the {_MOST_LINES} largest were read"
    return sorted(quads, key=_area, reverse=True)[:_MOST_LINES], [*reasons, reason]


def _line(quad: Quad, text: RecognisedText) -> Line:
    return Line(text.text, text.confidence, tuple((float(x), float(y)) for x, y in quad))


def _turn(quad: Quad, *, is_turned: bool) -> Turn:
    if is_upended(quad):
        return 270 if is_turned else 90
    return 180 if is_turned else 0


def _sides(quad: Quad) -> tuple[float, float]:
    across, down = np.linalg.norm(quad[1] - quad[0]), np.linalg.norm(quad[3] - quad[0])
    return float(max(across, down)), float(min(across, down))


def _area(quad: Quad) -> float:
    length, height = _sides(quad)
    return length * height


def _is_writing(quad: Quad, image: Pixels) -> bool:
    """Check whether a box in which no letter was recognised has the shape of a line of letters."""
    length, height = _sides(quad)
    return length >= _LINE * height and height * _LETTERS <= max(1, min(image.shape[:2]))

"""OCR: a detector and a recogniser, and what is mended around them."""

from collections.abc import Sequence

from core.records import Line, Pixels, Reading
from models.base import Model
from models.ocr.crops import cut
from models.ocr.parts import CropText, Detector, Quad, Recogniser
from models.ocr.reading_order import in_reading_order
from models.validation import check_pixels


class OcrReader(Model[Pixels, Reading]):
    """Lines of text in a picture, in the order in which people read them."""

    stage = "text"
    batch_size = 1  # nothing is gained by more: pictures differ in size, and so do lines

    def __init__(self, name: str, detector: Detector, recogniser: Recogniser) -> None:
        self.name = name
        self._detector = detector
        self._recogniser = recogniser

    def infer(self, batch: Sequence[Pixels]) -> list[Reading]:
        """A reading for each picture of any size from 1 x 1, without lines if there is no text.

        Raises `ValueError` if one is no picture.
        """
        return [self._read(check_pixels(picture)) for picture in batch]

    def _read(self, picture: Pixels) -> Reading:
        quads = self._detector.detect(picture)
        texts = self._recogniser.recognise([cut(picture, quad) for quad in quads])
        least = self._recogniser.least_confidence
        found = zip(quads, texts, strict=True)
        lines = [_line(quad, text) for quad, text in found if text.text and text.confidence >= least]
        return Reading(tuple(in_reading_order(lines)))


def _line(quad: Quad, text: CropText) -> Line:
    return Line(text.text, text.confidence, tuple((float(x), float(y)) for x, y in quad))

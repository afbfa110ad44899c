"""EasyOCR with its default settings and no corrections: the baseline of `memewax bench ocr`."""

from collections.abc import Sequence

from core.records import Line, Pixels, Reading
from models.base import Model
from models.model_settings import OcrSettings
from models.ocr.easyocr import reader_of
from models.runtime import Runtime
from models.validation import check_pixels
from models.weights import ocr_weights


class StockEasyOcr(Model[Pixels, Reading]):
    """`easyocr.Reader(["en"]).readtext(image)`, with the lines in its own order."""

    stage = "text"
    name = "stock easyocr"
    batch_size = 1

    def __init__(self, settings: OcrSettings, runtime: Runtime) -> None:
        """Load it; raises `WeightsError`."""
        self._torch = runtime.torch()
        self._reader = reader_of(ocr_weights(settings, "easyocr").path, runtime)

    def infer(self, batch: Sequence[Pixels]) -> list[Reading]:
        """Read each image; raises what EasyOCR raises, for example for images of a few pixels."""
        with self._torch.inference_mode():
            return [Reading(tuple(self._lines(check_pixels(image)))) for image in batch]

    def _lines(self, image: Pixels) -> list[Line]:
        found = self._reader.readtext(image)
        return [Line(text, float(sure), tuple((float(x), float(y)) for x, y in box)) for box, text, sure in found]

"""EasyOCR as it comes, nothing set and nothing mended: the yardstick of `memewax bench ocr`."""

from collections.abc import Sequence

from core.records import Line, Pixels, Reading
from models.base import Model
from models.model_settings import OcrSettings
from models.ocr.easyocr import reader_of
from models.runtime import Runtime
from models.validation import check_pixels
from models.weights import ocr_weights


class StockEasyOcr(Model[Pixels, Reading]):
    """`easyocr.Reader(["en"]).readtext(image)`, its lines in its own order."""

    stage = "text"
    name = "stock easyocr"
    batch_size = 1

    def __init__(self, settings: OcrSettings, runtime: Runtime) -> None:
        """Load it; raises `WeightsError`."""
        self._torch = runtime.torch()
        self._reader = reader_of(ocr_weights(settings, "easyocr").path, runtime)

    def infer(self, batch: Sequence[Pixels]) -> list[Reading]:
        """What it reads in each image; raises where EasyOCR does, as it does on images of some pixels."""
        with self._torch.inference_mode():
            return [Reading(tuple(self._lines(check_pixels(image)))) for image in batch]

    def _lines(self, image: Pixels) -> list[Line]:
        found = self._reader.readtext(image)
        return [Line(text, float(sure), tuple((float(x), float(y)) for x, y in box)) for box, text, sure in found]

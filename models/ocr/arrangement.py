"""Build OCR as the settings say: which engine detects text and which recognises it."""

from typing import Final

from models.engine import Device, Plan
from models.model_settings import ModelSettings
from models.ocr.ocr_engines import DETECTOR, RECOGNISER, ocr_choices, open_detector
from models.ocr.parts import Detector, Recogniser
from models.ocr.reader import OcrReader
from models.runtime import Runtime
from models.torch_runtime import Torch
from models.weights import Weights, ocr_engines, ocr_weights

_TOGETHER: Final[dict[Device, int]] = {"cpu": 8, "cuda": 32}
"""Images that are read at once: lines of the same width are recognised in one batch."""
_BY_TORCH: Final = Plan(Torch.name, "exact")
"""The plan of EasyOCR's networks."""


def load_reader(settings: ModelSettings, runtime: Runtime) -> OcrReader:
    """Load the OCR of `settings.ocr`; raises `WeightsError`."""
    runtime.limit_opencv()
    weights = [ocr_weights(settings, engine) for engine in ocr_engines(settings)]
    choices = {it.part: it.plan for it in ocr_choices(settings, runtime)}
    halves = [choices.get(part, _BY_TORCH) for part in (DETECTOR, RECOGNISER)]
    return OcrReader(
        "+".join(each.label for each in weights),
        _detector(weights[0], settings, runtime, halves[0]),
        _recogniser(weights[-1], settings, runtime, halves[1]),
        "+".join(dict.fromkeys(plan.engine for plan in halves)),
        "+".join(dict.fromkeys(plan.precision for plan in halves)),
        batch_size=1 if settings.precision == "exact" else _TOGETHER[runtime.device],
    )


# Libraries of an engine take seconds to import, so only those of the chosen one are imported.


def _detector(weights: Weights, settings: ModelSettings, runtime: Runtime, plan: Plan) -> Detector:
    if weights.id == "easyocr":
        from models.ocr.easyocr import CraftDetector

        return CraftDetector(weights.path, runtime, settings.ocr_canvas)
    return open_detector(weights, settings, runtime, plan, looks_twice=settings.precision != "exact")


def _recogniser(weights: Weights, settings: ModelSettings, runtime: Runtime, plan: Plan) -> Recogniser:
    if weights.id == "easyocr":
        from models.ocr.easyocr import CrnnRecogniser

        return CrnnRecogniser(weights.path, runtime)
    from models.ocr.ctc import CtcRecogniser

    return CtcRecogniser(weights.path, runtime.by(plan), reads_together=settings.precision != "exact")

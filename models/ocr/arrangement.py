"""The arrangement of the settings: which engine finds the text and which reads it."""

from models.model_settings import OcrSettings
from models.ocr.parts import Detector, Recogniser
from models.ocr.reader import OcrReader
from models.runtime import Runtime
from models.torch_runtime import Torch
from models.weights import Weights, ocr_engines, ocr_weights


def load_reader(settings: OcrSettings, runtime: Runtime) -> OcrReader:
    """`settings.ocr`, loaded; raises `WeightsError`."""
    runtime.limit_opencv()
    weights = [ocr_weights(settings, engine) for engine in ocr_engines(settings)]
    return OcrReader(
        "+".join(each.label for each in weights),
        _detector(weights[0], settings, runtime),
        _recogniser(weights[-1], runtime),
        "+".join(dict.fromkeys(_engine(each, runtime) for each in weights)),
    )


def _engine(weights: Weights, runtime: Runtime) -> str:
    return Torch.name if weights.id == "easyocr" else runtime.provider


# What an engine needs takes seconds to import, so only the chosen one is.


def _detector(weights: Weights, settings: OcrSettings, runtime: Runtime) -> Detector:
    if weights.id == "easyocr":
        from models.ocr.easyocr import CraftDetector

        return CraftDetector(weights.path, runtime, settings.ocr_canvas)
    from models.ocr.db import DbDetector

    return DbDetector(weights.path, runtime, settings.ocr_canvas)


def _recogniser(weights: Weights, runtime: Runtime) -> Recogniser:
    if weights.id == "easyocr":
        from models.ocr.easyocr import CrnnRecogniser

        return CrnnRecogniser(weights.path, runtime)
    from models.ocr.ctc import CtcRecogniser

    return CtcRecogniser(weights.path, runtime)

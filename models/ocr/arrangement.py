"""The arrangement of the settings: which engine finds the text and which reads it."""

import cv2

from models.model_settings import ModelSettings
from models.ocr.parts import Detector, Recogniser
from models.ocr.reader import OcrReader
from models.weights import Weights, ocr_engines, ocr_weights


def load_reader(settings: ModelSettings, device: str) -> OcrReader:
    """`settings.ocr`, loaded; `models.torch_runtime.prepare` comes before. Raises `WeightsError`."""
    cv2.setNumThreads(settings.threads_per_model)
    weights = [ocr_weights(settings, engine) for engine in ocr_engines(settings)]
    return OcrReader(
        "+".join(each.label for each in weights),
        _detector(weights[0], settings, device),
        _recogniser(weights[-1], settings, device),
    )


# What an engine needs takes seconds to import, so only the chosen one is.


def _detector(weights: Weights, settings: ModelSettings, device: str) -> Detector:
    if weights.id == "easyocr":
        from models.ocr.easyocr import CraftDetector

        return CraftDetector(weights.path, device, canvas=settings.ocr_canvas)
    from models.ocr.db import DbDetector

    return DbDetector(weights.path, device, threads=settings.threads_per_model, canvas=settings.ocr_canvas)


def _recogniser(weights: Weights, settings: ModelSettings, device: str) -> Recogniser:
    if weights.id == "easyocr":
        from models.ocr.easyocr import CrnnRecogniser

        return CrnnRecogniser(weights.path, device)
    from models.ocr.ctc import CtcRecogniser

    return CtcRecogniser(weights.path, device, threads=settings.threads_per_model)

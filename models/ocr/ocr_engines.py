"""Choose the engines of PP-OCR's two networks, by speed and by the difference of results from the exact ones."""

from collections.abc import Callable, Sequence
from difflib import SequenceMatcher
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.engine import Device, Plan
from models.engine_choice import Choice, EnginePart, choose
from models.model_cache import cache_of
from models.model_settings import ModelSettings
from models.ocr.ctc import CtcRecogniser
from models.ocr.db import DETECTOR_FILE, DbDetector, input_size, preprocess
from models.ocr.quantization import quantized
from models.runtime import Runtime
from models.trial_images import SIDE, trial_images
from models.weights import Weights, ocr_engines, ocr_weights

DETECTOR: Final = "detector"
RECOGNISER: Final = "recogniser"
"""Names of the two parts in choices of engines."""
DETECTOR_TOLERANCE: Final = 0.02
"""Jaccard distance of the pixels that are text: of those in either map, the share not in both, at most."""
RECOGNISER_TOLERANCE: Final = 0.005
"""Share of letters that differ, at most."""
_OTHERS: Final[dict[Device, tuple[Plan, ...]]] = {
    "cpu": (Plan("onnx", "fp32"), Plan("openvino", "fp32"), Plan("openvino", "bf16")),
    "cuda": (Plan("onnx", "fp32"),),
}
"""Plans other than the exact one. OpenVINO supports only the CPU; TensorRT would compile for each shape of image."""
_INT8: Final[dict[Device, tuple[Plan, ...]]] = {"cpu": (Plan("openvino", "int8"), Plan("onnx", "int8")), "cuda": ()}
"""More plans of the detector: an int8 recogniser behind an int8 detector loses words."""


def ocr_choices(settings: ModelSettings, runtime: Runtime) -> tuple[Choice, ...]:
    """Choose what runs each part of `settings.ocr` that is PP-OCR's, the detector first; raises `WeightsError`."""
    return tuple(choose(it, settings.precision, runtime, cache_of(settings)) for it in ocr_parts(settings, runtime))


def ocr_parts(settings: ModelSettings, runtime: Runtime) -> list[EnginePart]:
    """Describe the parts that are PP-OCR's, for trials of engines; raises `WeightsError`."""
    engines = ocr_engines(settings)
    parts = []
    if engines[0] == "ppocr":
        parts.append(_detector(ocr_weights(settings, "ppocr"), settings, runtime))
    if engines[-1] == "ppocr":
        parts.append(_recogniser(ocr_weights(settings, "ppocr"), runtime))
    return parts


def _detector(weights: Weights, settings: ModelSettings, runtime: Runtime) -> EnginePart:
    def load(plan: Plan) -> Callable[[], list[NDArray[np.bool_]]]:
        detector = open_detector(weights, settings, runtime, plan)
        images = [it.pixels for it in trial_images()]
        return lambda: [detector.text_of(image) for image in images]

    others = _OTHERS[runtime.device] + _INT8[runtime.device]
    return EnginePart(DETECTOR, weights.label, exact(runtime), others, load, _pixels_apart, DETECTOR_TOLERANCE)


def open_detector(
    weights: Weights, settings: ModelSettings, runtime: Runtime, plan: Plan, *, looks_twice: bool = False
) -> DbDetector:
    """Load the detector with a plan; raises `WeightsError`, and what the engine raises."""
    graph = weights.path / DETECTOR_FILE
    if plan.precision == "int8":
        pixels = [it.pixels for it in trial_images()]
        graph = quantized(graph, weights, settings, lambda: (preprocess(it, input_size(it, SIDE)) for it in pixels))
    return DbDetector(graph, runtime.by(plan), settings.ocr_canvas, looks_twice=looks_twice)


def _recogniser(weights: Weights, runtime: Runtime) -> EnginePart:
    def load(plan: Plan) -> Callable[[], list[str]]:
        recogniser = CtcRecogniser(weights.path, runtime.by(plan), reads_together=plan.precision != "exact")
        lines = [line for it in trial_images() for line in it.lines]
        return lambda: [it.text for it in recogniser.recognise(lines)]

    return EnginePart(
        RECOGNISER, weights.label, exact(runtime), _OTHERS[runtime.device], load, _letters_apart, RECOGNISER_TOLERANCE
    )


def exact(runtime: Runtime) -> Plan:
    """Return the reference that every other plan is compared with."""
    return Plan(runtime.provider, "exact")


def _pixels_apart(found: Any, expected: Any) -> float:
    pairs = list(zip(found, expected, strict=True))
    either = sum(int((one | other).sum()) for one, other in pairs)
    return sum(int((one ^ other).sum()) for one, other in pairs) / max(1, either)


def _letters_apart(found: Sequence[str], expected: Sequence[str]) -> float:
    total = sum(map(len, expected))
    same = sum(
        sum(block.size for block in SequenceMatcher(None, one, other, autojunk=False).get_matching_blocks())
        for one, other in zip(found, expected, strict=True)
    )
    return max(total, sum(map(len, found))) / max(1, total) - same / max(1, total)

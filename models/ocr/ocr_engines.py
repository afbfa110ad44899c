"""What can run PP-OCR's two networks, and how near their answers are to the exact ones."""

from collections.abc import Callable, Sequence
from difflib import SequenceMatcher
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.engine import Plan
from models.engine_choice import Choice, EnginePart, choose
from models.model_cache import cache_of
from models.model_settings import ModelSettings
from models.ocr.ctc import CtcRecogniser
from models.ocr.db import DETECTOR_FILE, DbDetector, seen_on
from models.ocr.quantization import quantized
from models.runtime import Runtime
from models.trial_images import SIDE, trial_images
from models.weights import Weights, ocr_engines, ocr_weights

DETECTOR: Final = "detector"
RECOGNISER: Final = "recogniser"
"""Names of the two as parts."""
DETECTOR_TOLERANCE: Final = 0.02
"""Of all pixels that either calls text, the part that the other does not, at most."""
RECOGNISER_TOLERANCE: Final = 0.005
"""Part of the letters that differ, at most."""
_OTHERS: Final = (Plan("onnx", "fp32"), Plan("openvino", "fp32"), Plan("openvino", "bf16"))
_DETECTS: Final = (*_OTHERS, Plan("openvino", "int8"), Plan("onnx", "int8"))
"""A recogniser of 8 bits behind a detector of 8 bits loses words."""


def ocr_choices(settings: ModelSettings, runtime: Runtime) -> tuple[Choice, ...]:
    """What runs each half of `settings.ocr` that is PP-OCR's, the detector first; raises `WeightsError`."""
    return tuple(choose(it, settings.precision, runtime, cache_of(settings)) for it in ocr_parts(settings, runtime))


def ocr_parts(settings: ModelSettings, runtime: Runtime) -> list[EnginePart]:
    """The halves that are PP-OCR's, as parts that can be tried; raises `WeightsError`."""
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

    return EnginePart(
        DETECTOR, weights.label, exact(runtime), _others(_DETECTS, runtime), load, _pixels_apart, DETECTOR_TOLERANCE
    )


def open_detector(
    weights: Weights, settings: ModelSettings, runtime: Runtime, plan: Plan, *, looks_twice: bool = False
) -> DbDetector:
    """The detector, computing as the plan says; raises `WeightsError`, and what the engine raises."""
    graph = weights.path / DETECTOR_FILE
    if plan.precision == "int8":
        graph = quantized(graph, weights, settings, lambda: (seen_on(it.pixels, SIDE) for it in trial_images()))
    return DbDetector(graph, runtime.by(plan), settings.ocr_canvas, looks_twice=looks_twice)


def _recogniser(weights: Weights, runtime: Runtime) -> EnginePart:
    def load(plan: Plan) -> Callable[[], list[str]]:
        recogniser = CtcRecogniser(weights.path, runtime.by(plan), reads_together=plan.precision != "exact")
        lines = [line for it in trial_images() for line in it.lines]
        return lambda: [it.text for it in recogniser.recognise(lines)]

    return EnginePart(
        RECOGNISER, weights.label, exact(runtime), _others(_OTHERS, runtime), load, _letters_apart, RECOGNISER_TOLERANCE
    )


def exact(runtime: Runtime) -> Plan:
    """What every other plan is compared with."""
    return Plan(runtime.provider, "exact")


def _others(plans: tuple[Plan, ...], runtime: Runtime) -> tuple[Plan, ...]:
    """What computes where the runtime does: 8 bits are for processors, and OpenVINO knows the CPU alone."""
    if runtime.device == "cpu":
        return plans
    return tuple(it for it in plans if it.engine != "openvino" and it.precision != "int8")


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

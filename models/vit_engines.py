"""Choose the engine of the image model, by speed and by the difference of embeddings from the exact ones."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from core.records import Vector
from models.engine import Device, Plan
from models.engine_choice import Choice, EnginePart, choose
from models.model_cache import cache_of
from models.model_settings import ModelSettings
from models.runtime import Runtime
from models.trial_images import trial_images
from models.vit import EXACT, VitEmbedder
from models.weights import Weights

TOLERANCE: Final = 0.01
"""Cosine distance of an image's embedding from its exact one, at most."""
_OTHERS: Final[dict[Device, tuple[Plan, ...]]] = {
    "cpu": (
        Plan("onnx", "int8"),
        Plan("openvino", "bf16"),
        Plan("torch", "bf16"),
        Plan("openvino", "fp32"),
        Plan("onnx", "fp32"),
    ),
    "cuda": (Plan("tensorrt", "bf16"), Plan("torch", "bf16"), Plan("tensorrt", "fp32"), Plan("onnx", "fp32")),
}
"""Plans other than the exact one: int8 is slower on CUDA, and OpenVINO supports only the CPU."""


def image_choice(weights: Weights, settings: ModelSettings, runtime: Runtime) -> Choice:
    """Choose what runs the image model of these weights; raises what loading it by the exact plan raises."""
    return choose(image_part(weights, settings, runtime), settings.precision, runtime, cache_of(settings))


def image_part(weights: Weights, settings: ModelSettings, runtime: Runtime) -> EnginePart:
    """Describe the image model as a part for trials of engines."""

    def load(plan: Plan) -> Callable[[], list[Vector]]:
        model = VitEmbedder(weights, runtime, settings, plan)
        images = [it.pixels for it in trial_images()]
        return lambda: model.infer(images)

    return EnginePart("image model", weights.label, EXACT, _OTHERS[runtime.device], load, _apart, TOLERANCE)


def _apart(found: Any, expected: Any) -> float:
    cosines = [float(np.dot(one, other)) for one, other in zip(found, expected, strict=True)]
    return max(0.0, 1 - min(cosines))

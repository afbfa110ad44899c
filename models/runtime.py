"""What models compute on: device, threads, precision and provider, chosen once and needed to construct a model.

What a library must be told before or as it is imported is told by the methods here, so that whoever holds a `Runtime`
cannot be too late.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Literal, Self

from core.errors import WorldError
from models.engine import Device, EngineOptions, Plan, Session
from models.engines import graph_engine, graph_engine_names
from models.model_settings import RuntimeSettings
from models.torch_runtime import (
    Torch,
    cuda_is_there,
    loaded_torch,
    loaded_transformers,
    set_environment,
    torch_with_torchvision,
)


@dataclass(frozen=True, slots=True)
class Runtime(EngineOptions):
    """Where and how a model computes; `Runtime.of` makes the one of the settings."""

    provider: str = graph_engine_names()[0]
    """Name of the engine that opens ONNX graphs."""

    def __post_init__(self) -> None:
        """Set what torch reads as it is imported, whoever imports it: spaCy does too."""
        set_environment()

    @classmethod
    def of(cls, settings: RuntimeSettings) -> Self:
        """The runtime of the settings.

        Imports torch to look for CUDA, except where the device is `cpu` or models are fakes. Raises `WorldError` if
        the device or the provider of the settings is not there.
        """
        device: Device = "cpu" if settings.models == "fake" else _device(settings.device)
        runtime = cls(device, settings.threads_per_model)
        return runtime if settings.provider == "auto" else runtime.on(settings.provider)

    def on(self, provider: str) -> Self:
        """The same, with another engine for ONNX graphs; raises `WorldError` if it is not installed."""
        return replace(self, provider=graph_engine(provider).name)

    def by(self, plan: Plan) -> Self:
        """The same, computing as the plan says; raises `WorldError` if its engine is not installed."""
        runtime = replace(self, precision=plan.precision)
        return runtime if plan.engine == Torch.name else runtime.on(plan.engine)

    def session(self, file: Path) -> Session:
        """The ONNX graph in `file`, opened by the provider; raises what that raises."""
        return graph_engine(self.provider).session(file, self)

    def graph_device(self) -> Device:
        """Where ONNX graphs compute: not every build of a provider knows the device."""
        return graph_engine(self.provider).device(self)

    def torch(self) -> ModuleType:
        """The module torch, ready for models."""
        return loaded_torch(self)

    def torchvision(self) -> AbstractContextManager[ModuleType]:
        """The module torch with torchvision beside it, to load a model by, for one thread at a time.

        Entering it raises `WorldError` if torchvision cannot be imported.
        """
        return torch_with_torchvision(self)

    def transformers(self) -> AbstractContextManager[ModuleType]:
        """The module transformers, on both as above."""
        return loaded_transformers(self)

    def limit_opencv(self) -> None:
        """Let OpenCV use as many threads as a model."""
        import cv2

        cv2.setNumThreads(self.threads)


def _device(wanted: Literal["auto", "cpu", "cuda"]) -> Device:
    if wanted == "cpu":
        return "cpu"
    if cuda_is_there():
        return "cuda"
    if wanted == "cuda":
        raise WorldError("MEMEWAX_DEVICE = 'cuda', but torch sees no CUDA device; set it to auto or cpu")
    return "cpu"

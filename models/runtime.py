"""Runtime of the models: device, threads, precision and provider, chosen once and required to construct a model.

Some libraries must be configured before or during their import. The methods here do that, so code that has a `Runtime`
cannot configure them too late.
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
    """Where and how a model computes; `Runtime.of` builds it from the settings."""

    provider: str = graph_engine_names()[0]
    """Name of the engine that runs ONNX graphs."""

    def __post_init__(self) -> None:
        """Set the environment variables that torch reads on import, whichever library imports it: spaCy does too."""
        set_environment()

    @classmethod
    def of(cls, settings: RuntimeSettings) -> Self:
        """Build the runtime of the settings.

        It imports torch to look for CUDA, unless the device is `cpu` or models are fake.

        Raises:
            WorldError: If the device or the provider is not available.
        """
        device: Device = "cpu" if settings.models == "fake" else _device(settings.device)
        runtime = cls(device, settings.threads_per_model)
        return runtime if settings.provider == "auto" else runtime.on(settings.provider)

    def on(self, provider: str) -> Self:
        """Return a copy with another engine for ONNX graphs; raises `WorldError` if it is not installed."""
        return replace(self, provider=graph_engine(provider).name)

    def by(self, plan: Plan) -> Self:
        """Return a copy with the plan's engine and precision; raises `WorldError` if its engine is not installed."""
        runtime = replace(self, precision=plan.precision)
        return runtime if plan.engine == Torch.name else runtime.on(plan.engine)

    def session(self, file: Path) -> Session:
        """Open the ONNX graph in `file` with the provider; raises what that raises."""
        return graph_engine(self.provider).session(file, self)

    def graph_device(self) -> Device:
        """Return the device that runs ONNX graphs: not every build of a provider supports the runtime's device."""
        return graph_engine(self.provider).device(self)

    def torch(self) -> ModuleType:
        """Import torch, configured for models."""
        return loaded_torch(self)

    def torchvision(self) -> AbstractContextManager[ModuleType]:
        """Import torch and torchvision for loading a model; the `with` block holds a lock: one thread at a time.

        Entering it raises `WorldError` if torchvision cannot be imported.
        """
        return torch_with_torchvision(self)

    def transformers(self) -> AbstractContextManager[ModuleType]:
        """Import transformers, with torch and torchvision, under the same lock as `torchvision`."""
        return loaded_transformers(self)

    def limit_opencv(self) -> None:
        """Limit OpenCV to the threads of a model."""
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

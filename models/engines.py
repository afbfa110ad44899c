"""The engines that can run models. To add one, write a module and add it to `ENGINES`."""

from typing import Final

from core.errors import SettingsError, WorldError
from models.engine import Device, Engine, GraphEngine, Plan
from models.onnx_runtime import OnnxRuntime
from models.openvino_runtime import OpenVino
from models.processor import has_instructions_for
from models.tensorrt_runtime import TensorRt
from models.torch_runtime import Torch

ENGINES: Final[tuple[Engine, ...]] = (OnnxRuntime(), OpenVino(), TensorRt(), Torch())
"""All engines; the first one that runs ONNX graphs is the default for these."""


def engine_names() -> tuple[str, ...]:
    """Return the names of all engines."""
    return tuple(engine.name for engine in ENGINES)


def graph_engine_names() -> tuple[str, ...]:
    """Return the names of the engines that run ONNX graphs, the default first."""
    return tuple(engine.name for engine in ENGINES if isinstance(engine, GraphEngine))


def graph_engine(name: str) -> GraphEngine:
    """Return the engine of this name.

    Raises:
        SettingsError: If it does not run ONNX graphs.
        WorldError: If it is not installed.
    """
    for engine in ENGINES:
        if engine.name == name and isinstance(engine, GraphEngine):
            if reason := engine.why_missing():
                raise WorldError(reason)
            return engine
    raise SettingsError(f"no engine {name!r} opens ONNX graphs; expected one of {', '.join(graph_engine_names())}")


def plans(device: Device) -> tuple[Plan, ...]:
    """Return the plans that are possible here: each installed engine with each precision that the device supports.

    On CUDA that is any precision: every GPU computes bf16, and if it is slow, the trial shows it.
    """
    return tuple(
        Plan(engine.name, precision)
        for engine in ENGINES
        if engine.why_missing() is None
        for precision in engine.precisions
        if device == "cuda" or has_instructions_for(precision)
    )

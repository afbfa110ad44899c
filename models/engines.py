"""The engines that can run a model: another one is a module and a line in `ENGINES`."""

from typing import Final

from core.errors import SettingsError, WorldError
from models.engine import Engine, GraphEngine, Plan
from models.onnx_runtime import OnnxRuntime
from models.openvino_runtime import OpenVino
from models.processor import has_instructions_for
from models.torch_runtime import Torch

ENGINES: Final[tuple[Engine, ...]] = (OnnxRuntime(), OpenVino(), Torch())
"""Of those that open ONNX graphs the first is used where the settings name none."""


def engine_names() -> tuple[str, ...]:
    """Names of all engines."""
    return tuple(engine.name for engine in ENGINES)


def graph_engine_names() -> tuple[str, ...]:
    """Names of the engines that open ONNX graphs, the default first."""
    return tuple(engine.name for engine in ENGINES if isinstance(engine, GraphEngine))


def graph_engine(name: str) -> GraphEngine:
    """The engine of that name; raises `SettingsError` if it opens no graphs, `WorldError` if it is not installed."""
    for engine in ENGINES:
        if engine.name == name and isinstance(engine, GraphEngine):
            if reason := engine.why_missing():
                raise WorldError(reason)
            return engine
    raise SettingsError(f"no engine {name!r} opens ONNX graphs; expected one of {', '.join(graph_engine_names())}")


def plans() -> tuple[Plan, ...]:
    """What can run a model here: every engine that is installed, in each precision that the processor has."""
    return tuple(
        Plan(engine.name, precision)
        for engine in ENGINES
        if engine.why_missing() is None
        for precision in engine.precisions
        if has_instructions_for(precision)
    )

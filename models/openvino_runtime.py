"""The engine OpenVINO, by Intel; it is installed by the extra `openvino`."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from threading import Lock
from typing import Any, Final

from numpy.typing import NDArray

from core.extras import needs_extra
from models.denormals import flush_denormals
from models.engine import Device, EngineOptions, GraphEngine, Read, Session

_HINT: Final = {"bf16": "bf16"}
"""Its name of a precision. All others are float32, as are the activations between int8 products."""


class OpenVino(GraphEngine):
    """OpenVINO, on the CPU only."""

    name = "openvino"
    package = "openvino"
    precisions = ("exact", "fp32", "bf16", "int8")

    def device(self, options: EngineOptions) -> Device:  # noqa: ARG002
        """Return the CPU."""
        return "cpu"

    def session(self, file: Path, options: EngineOptions) -> Session:
        """Load and compile the graph in `file`."""
        with needs_extra("openvino", "the engine openvino"):
            import openvino

        core = openvino.Core()
        given = {
            "INFERENCE_NUM_THREADS": options.threads,
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": _HINT.get(options.precision, "f32"),
            "CPU_DENORMALS_OPTIMIZATION": options.precision != "exact",
            # Otherwise all processes on a machine would be pinned to the same cores.
            "ENABLE_CPU_PINNING": False,
        }
        is_exact = options.precision == "exact"
        # Compiling changes how the calling thread treats denormals and does not restore it.
        with nullcontext() if is_exact else flush_denormals():
            compiled = core.compile_model(core.read_model(str(file)), "CPU", given)
        return _OpenVinoSession(compiled, is_exact=is_exact)


class _OpenVinoSession:
    def __init__(self, compiled: Any, *, is_exact: bool) -> None:
        self._compiled = compiled
        self._is_exact = is_exact
        self._one_at_a_time = Lock()
        self.inputs = [each.get_any_name() for each in compiled.inputs]

    def run(self, tensors: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        return self.read(tensors, lambda outputs: [output.copy() for output in outputs])

    def read(self, tensors: Mapping[str, NDArray[Any]], reader: Callable[[list[NDArray[Any]]], Read]) -> Read:
        # The calling thread computes too, and is seldom the one that compiled.
        mode: AbstractContextManager[None] = nullcontext() if self._is_exact else flush_denormals()
        with self._one_at_a_time:  # the next run overwrites the outputs
            with mode:
                outputs = self._compiled(dict(tensors), share_outputs=True)
            return reader(list(outputs.values()))

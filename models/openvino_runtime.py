"""OpenVINO, Intel's engine, of the extra `openvino`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.extras import needs_extra
from models.engine import Device, EngineOptions, GraphEngine, Session

_HINT: Final = {"bf16": "bf16"}
"""Its names of precisions; all others are float32."""


class OpenVino(GraphEngine):
    """Computes on the CPU alone."""

    name = "openvino"
    package = "openvino"
    precisions = ("exact", "fp32", "bf16")

    def device(self, options: EngineOptions) -> Device:  # noqa: ARG002
        """The CPU."""
        return "cpu"

    def session(self, file: Path, options: EngineOptions) -> Session:
        """The graph in `file`, compiled."""
        with needs_extra("openvino", "the engine openvino"):
            import openvino

        core = openvino.Core()
        given = {
            "INFERENCE_NUM_THREADS": options.threads,
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": _HINT.get(options.precision, "f32"),
            "CPU_DENORMALS_OPTIMIZATION": options.precision != "exact",
            # Processes that share a machine would all be pinned to the same cores.
            "ENABLE_CPU_PINNING": False,
        }
        return _OpenVinoSession(core.compile_model(core.read_model(str(file)), "CPU", given))


class _OpenVinoSession:
    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled
        self.inputs = [each.get_any_name() for each in compiled.inputs]

    def run(self, tensors: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        # Copied: its outputs are overwritten by the next run.
        return [np.array(output) for output in self._compiled(dict(tensors)).values()]

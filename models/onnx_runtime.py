"""ONNX Runtime beside other models: threads that sleep while they wait, memory that is given back."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.denormals import flush_denormals
from models.engine import Device, EngineOptions, GraphEngine, Read, Session

_PROVIDERS: Final = {"cuda": ("CUDAExecutionProvider", "CPUExecutionProvider"), "cpu": ("CPUExecutionProvider",)}


class OnnxRuntime(GraphEngine):
    """Computes on CUDA if that is asked for and this build of onnxruntime can, else on the CPU.

    Numbers below 1e-38 are taken for zero, except where the precision is `exact`: processors of Intel take a hundred
    times as long for them, and the text detector makes many.
    """

    name = "onnx"
    package = "onnxruntime"
    precisions = ("exact", "fp32", "int8")

    def device(self, options: EngineOptions) -> Device:
        """Where a session computes."""
        return "cuda" if providers(options.device)[0].startswith("CUDA") else "cpu"

    def session(self, file: Path, options: EngineOptions) -> Session:
        """A session of the graph in `file`."""
        from onnxruntime import InferenceSession, SessionOptions

        given = SessionOptions()
        given.intra_op_num_threads = options.threads
        given.inter_op_num_threads = 1
        given.log_severity_level = 3
        given.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Inputs come in any shape; what is kept for each would grow and never shrink.
        given.enable_cpu_mem_arena = False
        given.enable_mem_pattern = False
        is_exact = options.precision == "exact" or options.device != "cpu"
        if not is_exact:
            given.add_session_config_entry("session.set_denormal_as_zero", "1")
        opened = InferenceSession(str(file), given, providers=providers(options.device))
        return _OnnxSession(opened, is_exact=is_exact)


class _OnnxSession:
    def __init__(self, session: Any, *, is_exact: bool) -> None:
        self._session = session
        self._is_exact = is_exact
        self.inputs = [each.name for each in session.get_inputs()]

    def run(self, tensors: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        # Its own threads were told when they were made; the one that calls computes too.
        mode: AbstractContextManager[None] = nullcontext() if self._is_exact else flush_denormals()
        with mode:
            return [np.asarray(output) for output in self._session.run(None, dict(tensors))]

    def read(self, tensors: Mapping[str, NDArray[Any]], reader: Callable[[list[NDArray[Any]]], Read]) -> Read:
        return reader(self.run(tensors))


def providers(device: Device) -> list[str]:
    """What may compute, the best first: CUDA only where it is asked for and onnxruntime was built for it."""
    import onnxruntime

    there = set(onnxruntime.get_available_providers())
    return [name for name in _PROVIDERS[device] if name in there]

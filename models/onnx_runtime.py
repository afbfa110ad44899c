"""The engine ONNX Runtime, configured to share a machine: waiting threads sleep, and memory is returned."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from models.denormals import flush_denormals
from models.engine import Device, EngineOptions, GraphEngine, Precision, Read, Session

_CUDA: Final = "CUDAExecutionProvider"
_PROVIDERS: Final = {"cuda": (_CUDA, "CPUExecutionProvider"), "cpu": ("CPUExecutionProvider",)}


class OnnxRuntime(GraphEngine):
    """ONNX Runtime, on CUDA if the options say so and the installed build supports it, else on the CPU.

    Except with precision `exact`, denormals (numbers below 1e-38) are flushed to zero: Intel CPUs take a hundred times
    as long for them, and the text detector produces many.
    """

    name = "onnx"
    package = "onnxruntime"
    precisions: ClassVar[tuple[Precision, ...]] = ("exact", "fp32", "int8")

    def device(self, options: EngineOptions) -> Device:
        """Return the device of a session with these options."""
        return "cuda" if providers(options.device)[0] == _CUDA else "cpu"

    def session(self, file: Path, options: EngineOptions) -> Session:
        """Load the graph in `file`."""
        return _OnnxSession(self.opened(file, options), is_exact=_is_exact(options))

    def opened(self, file: Path, options: EngineOptions) -> Any:
        """Return ONNX Runtime's own session of the graph in `file`."""
        from onnxruntime import InferenceSession, SessionOptions

        given = SessionOptions()
        given.intra_op_num_threads = options.threads
        given.inter_op_num_threads = 1
        given.log_severity_level = 3
        given.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Inputs have any shape; memory that is cached for each would grow without bound.
        given.enable_cpu_mem_arena = False
        given.enable_mem_pattern = False
        if not _is_exact(options):
            given.add_session_config_entry("session.set_denormal_as_zero", "1")
        return InferenceSession(str(file), given, providers=self.providers(file, options))

    def providers(self, file: Path, options: EngineOptions) -> list[tuple[str, dict[str, str]]]:  # noqa: ARG002
        """Return the execution providers for the graph in `file`, the best first, each with its options."""
        on_cuda = {
            # The default, a search for the fastest kernel, would be repeated for each shape of images and lines.
            "cudnn_conv_algo_search": "HEURISTIC",
            "arena_extend_strategy": "kSameAsRequested",
            "use_tf32": "0" if options.precision == "exact" else "1",
        }
        return [(name, on_cuda if name == _CUDA else {}) for name in providers(options.device)]


def _is_exact(options: EngineOptions) -> bool:
    """Check whether the CPU computes denormals as they are: a GPU does so at full speed."""
    return options.precision == "exact" or options.device != "cpu"


class _OnnxSession:
    def __init__(self, session: Any, *, is_exact: bool) -> None:
        self._session = session
        self._is_exact = is_exact
        self.inputs = [each.name for each in session.get_inputs()]

    def run(self, tensors: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        # The session set this mode for its own threads; the calling thread computes too.
        mode: AbstractContextManager[None] = nullcontext() if self._is_exact else flush_denormals()
        with mode:
            return [np.asarray(output) for output in self._session.run(None, dict(tensors))]

    def read(self, tensors: Mapping[str, NDArray[Any]], reader: Callable[[list[NDArray[Any]]], Read]) -> Read:
        return reader(self.run(tensors))


def providers(device: Device) -> list[str]:
    """Return the execution providers for a device, the best first: CUDA's only if onnxruntime was built with it."""
    import onnxruntime

    there = set(onnxruntime.get_available_providers())
    return [name for name in _PROVIDERS[device] if name in there]

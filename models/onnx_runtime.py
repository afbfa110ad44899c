"""ONNX Runtime beside other models: threads that sleep while they wait, memory that is given back."""

from pathlib import Path
from typing import Any, Final

import onnxruntime

_PROVIDERS: Final = {"cuda": ("CUDAExecutionProvider", "CPUExecutionProvider"), "cpu": ("CPUExecutionProvider",)}


def session(file: Path, device: str, threads: int) -> Any:
    """A session of `file`; on "cuda" it computes there if this build of onnxruntime can, else on the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Inputs come in any shape; what is kept for each would grow and never shrink.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    return onnxruntime.InferenceSession(str(file), options, providers=providers(device))


def providers(device: str) -> list[str]:
    """What may compute, the best first: CUDA only where it is asked for and onnxruntime was built for it."""
    there = set(onnxruntime.get_available_providers())
    return [name for name in _PROVIDERS[device] if name in there]

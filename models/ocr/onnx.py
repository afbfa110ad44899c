"""ONNX Runtime beside other models: threads that sleep while they wait, memory that is given back."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

_PROVIDERS: Final = {"cuda": ("CUDAExecutionProvider", "CPUExecutionProvider"), "cpu": ("CPUExecutionProvider",)}


class Network:
    """A network of one input and one output, both float32."""

    def __init__(self, file: Path, device: str, threads: int) -> None:
        """Load `file`; on "cuda" it computes there if this build of onnxruntime can, else on the CPU."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Pictures and lines come in any shape; what is kept for each would grow and never shrink.
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False
        self._session: Any = onnxruntime.InferenceSession(str(file), options, providers=providers(device))
        self._input = self._session.get_inputs()[0].name

    def __call__(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        """The network's answer."""
        (answer,) = self._session.run(None, {self._input: tensor})
        return np.asarray(answer, np.float32)

    @property
    def metadata(self) -> dict[str, str]:
        """What the file says of itself."""
        return dict(self._session.get_modelmeta().custom_metadata_map)


def providers(device: str) -> list[str]:
    """What may compute, the best first: CUDA only where it is asked for and onnxruntime was built for it."""
    there = set(onnxruntime.get_available_providers())
    return [name for name in _PROVIDERS[device] if name in there]


def normalised(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """RGB of shape (height, width, 3) as PP-OCR wants it: BGR, -1 to 1, shape (1, 3, height, width)."""
    scaled = pixels[:, :, ::-1].astype(np.float32) / np.float32(127.5) - np.float32(1)
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None])

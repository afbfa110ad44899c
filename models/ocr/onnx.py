"""Networks of PP-OCR: a picture in, numbers out."""

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.runtime import Runtime

INPUT: Final = "x"
"""Name of the only input of both networks."""


class Network:
    """A network of one input and one output, both float32."""

    def __init__(self, file: Path, runtime: Runtime) -> None:
        """Open the graph in `file`."""
        self._session = runtime.session(file)
        (self._input,) = self._session.inputs

    def __call__(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        """The network's answer."""
        (answer,) = self._session.run({self._input: tensor})
        return np.asarray(answer, np.float32)


def metadata_of(file: Path) -> dict[str, str]:
    """What an ONNX file says of itself, whatever engine opens it."""
    import onnx

    return {entry.key: entry.value for entry in onnx.load(str(file)).metadata_props}


def normalised(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """RGB of shape (height, width, 3) as PP-OCR wants it: BGR, -1 to 1, shape (1, 3, height, width)."""
    scaled = pixels[:, :, ::-1].astype(np.float32) / np.float32(127.5) - np.float32(1)
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None])

"""Run the ONNX networks of PP-OCR."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from models.engine import Read
from models.runtime import Runtime

INPUT: Final = "x"
"""Name of the only input of both networks."""


class Network:
    """A network of one input and one output, both float32."""

    def __init__(self, file: Path, runtime: Runtime) -> None:
        """Load the graph in `file`."""
        self._session = runtime.session(file)
        (self._input,) = self._session.inputs

    def __call__(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a copy of the network's output."""
        return self.read(tensor, lambda answer: np.array(answer, np.float32))

    def read(self, tensor: NDArray[np.float32], reader: Callable[[NDArray[np.float32]], Read]) -> Read:
        """Return what `reader` computes from the output, which is not copied and only valid during the call."""
        return self._session.read({self._input: tensor}, lambda answers: reader(answers[0]))


def metadata_of(file: Path) -> dict[str, str]:
    """Read the metadata of an ONNX file."""
    import onnx

    return {entry.key: entry.value for entry in onnx.load(str(file)).metadata_props}


def normalised(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """Convert RGB of shape (height, width, 3) to PP-OCR's input: BGR, -1 to 1, shape (1, 3, height, width)."""
    tensor = np.empty((1, 3, *pixels.shape[:2]), np.float32)
    for plane, colour in zip(tensor[0], reversed(cv2.split(pixels)), strict=True):
        np.divide(colour, np.float32(127.5), out=plane)
        np.subtract(plane, np.float32(1), out=plane)
    return tensor

"""Networks of PP-OCR: an image in, numbers out."""

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
        """Open the graph in `file`."""
        self._session = runtime.session(file)
        (self._input,) = self._session.inputs

    def __call__(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        """The network's answer."""
        return self.read(tensor, lambda answer: np.array(answer, np.float32))

    def read(self, tensor: NDArray[np.float32], reader: Callable[[NDArray[np.float32]], Read]) -> Read:
        """What `reader` makes of the network's answer, which is not copied and gone afterwards."""
        return self._session.read({self._input: tensor}, lambda answers: reader(answers[0]))


def metadata_of(file: Path) -> dict[str, str]:
    """What an ONNX file says of itself, whatever engine opens it."""
    import onnx

    return {entry.key: entry.value for entry in onnx.load(str(file)).metadata_props}


def normalised(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """RGB of shape (height, width, 3) as PP-OCR wants it: BGR, -1 to 1, shape (1, 3, height, width)."""
    tensor = np.empty((1, 3, *pixels.shape[:2]), np.float32)
    for plane, colour in zip(tensor[0], reversed(cv2.split(pixels)), strict=True):
        np.divide(colour, np.float32(127.5), out=plane)
        np.subtract(plane, np.float32(1), out=plane)
    return tensor

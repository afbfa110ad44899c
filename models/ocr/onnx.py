"""Networks of PP-OCR: a picture in, numbers out."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.onnx_runtime import session


class Network:
    """A network of one input and one output, both float32."""

    def __init__(self, file: Path, device: str, threads: int) -> None:
        """Load `file`, as `models.onnx_runtime.session`."""
        self._session = session(file, device, threads)
        self._input = self._session.get_inputs()[0].name

    def __call__(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        """The network's answer."""
        (answer,) = self._session.run(None, {self._input: tensor})
        return np.asarray(answer, np.float32)

    @property
    def metadata(self) -> dict[str, str]:
        """What the file says of itself."""
        return dict(self._session.get_modelmeta().custom_metadata_map)


def normalised(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """RGB of shape (height, width, 3) as PP-OCR wants it: BGR, -1 to 1, shape (1, 3, height, width)."""
    scaled = pixels[:, :, ::-1].astype(np.float32) / np.float32(127.5) - np.float32(1)
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None])

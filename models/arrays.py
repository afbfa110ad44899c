"""Names of array types; docstrings give the shapes."""

import numpy as np
from numpy.typing import NDArray

BoolArray = NDArray[np.bool_]
Float16Array = NDArray[np.float16]
Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]
Int64Array = NDArray[np.int64]

"""Quantize the convolutions of a PP-OCR network to int8, once per machine, without network access; cached.

The quantization is static: scales of activations are calibrated beforehand, on the trial images, because computing them
for each image takes longer than int8 saves.
"""

from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.errors import WeightsError, first_line
from models.model_cache import cache_of, cached_folder
from models.model_settings import CacheSettings
from models.ocr.onnx import INPUT
from models.weights import Weights

_GRAPH: Final = "model.onnx"
_VERSION: Final = 1
"""Version of the cached graphs; those of other versions are ignored."""
_OPSET: Final = 17
"""Opset of the quantized graph; scales per channel need 13."""

Tensors = Callable[[], Iterable[NDArray[np.float32]]]
"""Returns the network's inputs for typical images, for calibration."""


def quantized(file: Path, weights: Weights, settings: CacheSettings, tensors: Tensors) -> Path:
    """Return the file of the quantized network, made from `file` if it is not cached, which takes some seconds.

    Raises:
        WeightsError: If it cannot be made or cached, or the cached one is damaged.
    """
    folder = cached_folder(
        cache_of(settings) / f"{weights.label}-{file.stem}-{_VERSION}-int8-{version('onnxruntime')}",
        (_GRAPH,),
        lambda draft: _quantize(file, draft / _GRAPH, tensors),
        what=f"the graph of {weights.id} in 8 bits",
        megabytes=file.stat().st_size // 10**6 + 1,
    )
    return folder / _GRAPH


def _quantize(file: Path, to: Path, tensors: Tensors) -> None:
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    # Defined here because its base class takes a second to import.
    class Images(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._coming: Iterator[NDArray[np.float32]] = iter(tensors())

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            found = next(self._coming, None)
            return None if found is None else {INPUT: found}

    prepared = to.with_name("prepared.onnx")
    try:
        onnx.save(onnx.version_converter.convert_version(onnx.load(str(file)), _OPSET), str(prepared))
        quant_pre_process(prepared, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            to,
            Images(),
            quant_format=QuantFormat.QDQ,  # every engine supports it
            op_types_to_quantize=["Conv"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
    except Exception as error:  # of many kinds, for unsupported graphs
        raise WeightsError(f"{file} cannot be quantized to int8: {first_line(error)}") from error
    finally:
        prepared.unlink(missing_ok=True)

"""A network of PP-OCR with convolutions of 8 bits: made once on this machine, without network, and kept.

What goes into a convolution is rounded by a scale that was found beforehand (static quantisation), since finding it for
each image takes longer than 8 bits save. The scales are those of the images that engines are tried with.
"""

from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.errors import WeightsError, first_line
from models.model_cache import cache_of, kept
from models.model_settings import CacheSettings
from models.ocr.onnx import INPUT
from models.weights import Weights

_GRAPH: Final = "model.onnx"
_VERSION: Final = 1
"""Of the graphs that are kept: those of another are not looked at."""
_OPSET: Final = 17
"""Of the graph that is made: from 13 on each channel can have a scale of its own."""

Tensors = Callable[[], Iterable[NDArray[np.float32]]]
"""Gives what the network sees of typical images."""


def quantized(file: Path, weights: Weights, settings: CacheSettings, tensors: Tensors) -> Path:
    """The network in `file` with convolutions of 8 bits, made if it is not there yet, which takes some seconds.

    Raises `WeightsError` where it cannot be made or kept, or is damaged.
    """
    folder = kept(
        cache_of(settings) / f"{weights.label}-{file.stem}-{_VERSION}-int8-{version('onnxruntime')}",
        (_GRAPH,),
        lambda draft: _quantise(file, draft / _GRAPH, tensors),
        what=f"the graph of {weights.id} in 8 bits",
        megabytes=file.stat().st_size // 10**6 + 1,
    )
    return folder / _GRAPH


def _quantise(file: Path, to: Path, tensors: Tensors) -> None:
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    # Made here, since its base takes a second to import.
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
            quant_format=QuantFormat.QDQ,  # which every engine knows
            op_types_to_quantize=["Conv"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
    except Exception as error:  # of many kinds, for graphs that it does not know
        raise WeightsError(f"{file} cannot be written in 8 bits: {first_line(error)}") from error
    finally:
        prepared.unlink(missing_ok=True)

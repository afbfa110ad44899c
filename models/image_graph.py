"""An image model written out as an ONNX graph: from pixels to the last hidden state and a vector.

Made once on the CPU, without network, and kept by the hash of the weights; compared with the model before it is used.
"""

import warnings
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.errors import WeightsError, first_line
from models.engine import Plan, Precision
from models.model_cache import cache_of, kept
from models.model_settings import CacheSettings
from models.runtime import Runtime
from models.vit_module import has_cls, made, pooled
from models.weights import Weights

_GRAPH: Final = "model.onnx"
_VERSION: Final = 1
"""Of the graphs that are kept: those of another are not looked at."""
_TRIED: Final = (1, 2, 3)
"""Images at once by which a graph is compared."""
_APART: Final = 1e-3
"""Largest difference, as a part of the largest number, of the same sums in another order."""
_OPSET: Final = 18
_INPUT: Final = "pixels"
_OUTPUTS: Final = ("hidden", "vectors")


def image_graph(
    weights: Weights, size: int, settings: CacheSettings, runtime: Runtime, precision: Precision = "fp32"
) -> Path:
    """The graph of `weights` for images of `size` pixels a side, made if it is not there yet.

    In `int8` the matrices of its products are of 8 bits, a scale for each column, and what is multiplied with them is
    scaled as it comes. Raises `WeightsError` where it cannot be made or kept, or is damaged.
    """
    label = weights.label.replace("/", "--")
    megabytes = weights.size // 10**6 + 1
    folder = kept(
        cache_of(settings) / f"{label}-image-graph-{_VERSION}",
        (_GRAPH,),
        lambda draft: _write(weights, size, draft / _GRAPH, runtime),
        what=f"the graph of {weights.id}",
        megabytes=megabytes,
    )
    if precision != "int8":
        return folder / _GRAPH
    quantised = kept(
        cache_of(settings) / f"{label}-image-graph-{_VERSION}-int8-{version('onnxruntime')}",
        (_GRAPH,),
        lambda draft: _quantise(folder / _GRAPH, draft / _GRAPH),
        what=f"the graph of {weights.id} in 8 bits",
        megabytes=megabytes // 4 + 1,
    )
    return quantised / _GRAPH


def _write(weights: Weights, size: int, file: Path, runtime: Runtime) -> None:
    torch = runtime.torch()
    on_cpu = replace(runtime, device="cpu")
    module = made(weights, on_cpu)
    by_cls = has_cls(module)

    # Made here, since its base is of a module that only a runtime gives.
    class Whole(torch.nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.module = module

        def forward(self, pixels: Any) -> Any:
            hidden = self.module(pixels)
            return hidden, pooled(hidden, by_cls=by_cls)

    whole = Whole().eval()
    random = torch.Generator().manual_seed(1)
    tried = [torch.randn((count, 3, size, size), generator=random) for count in _TRIED]
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # of shapes taken for constants: the comparison tells
            torch.onnx.export(
                whole,
                (tried[1],),
                file,
                input_names=[_INPUT],
                output_names=list(_OUTPUTS),
                dynamic_axes={name: {0: "images"} for name in (_INPUT, *_OUTPUTS)},
                opset_version=_OPSET,
                dynamo=False,
            )
            session = on_cpu.by(Plan("onnx", "exact")).session(file)
            apart = max(
                _apart(found, expected.numpy())
                for pixels in tried
                for found, expected in zip(session.run({_INPUT: pixels.numpy()}), whole(pixels), strict=True)
            )
    except Exception as error:  # the exporter raises many kinds, and so does a graph that knows one number of images
        raise WeightsError(f"{weights.id} cannot be written as a graph: {first_line(error)}") from error
    if not apart <= _APART:
        raise WeightsError(f"{weights.id} as a graph gives other numbers, by up to {apart:.2g} of the largest")


def _apart(found: NDArray[Any], expected: NDArray[Any]) -> float:
    return float(np.abs(found - expected).max() / max(1e-12, float(np.abs(expected).max())))


def _quantise(graph: Path, file: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = file.with_name("prepared.onnx")
    try:
        quant_pre_process(graph, prepared, skip_symbolic_shape=True)
        quantize_dynamic(prepared, file, op_types_to_quantize=["MatMul"], per_channel=True, weight_type=QuantType.QInt8)
    except Exception as error:  # of many kinds, for graphs that it does not know
        raise WeightsError(f"{graph} cannot be written in 8 bits: {first_line(error)}") from error
    finally:
        prepared.unlink(missing_ok=True)

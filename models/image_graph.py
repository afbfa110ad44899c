"""Export an image model to ONNX: one graph from pixels to the last hidden state and the embedding.

The graph is exported once, on the CPU and without network access, compared with the model, and cached by the hash of
the weights.
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
from models.model_cache import cache_of, cached_folder
from models.model_settings import CacheSettings
from models.runtime import Runtime
from models.vit_module import has_cls, load_network, pooled
from models.weights import Weights

_GRAPH: Final = "model.onnx"
_VERSION: Final = 2
"""Version of the cached graphs; those of other versions are ignored."""
_TRIED: Final = (1, 2, 3)
"""Batch sizes for comparing the graph with the model."""
_TOLERANCE: Final = 1e-3
"""Largest difference that is accepted, relative to the largest number: sums in another order differ by less."""
_OPSET: Final = 18
_INPUT: Final = "pixels"
_OUTPUTS: Final = ("hidden", "vectors")


def image_graph(
    weights: Weights, size: int, settings: CacheSettings, runtime: Runtime, precision: Precision = "fp32"
) -> Path:
    """Return the file of the graph of `weights` for images of `size` x `size` pixels, exported if not cached.

    With `int8`, the weights of matrix products are quantized per column, and activations dynamically.

    Raises:
        WeightsError: If it cannot be exported or cached, or the cached one is damaged.
    """
    label = weights.label.replace("/", "--")
    megabytes = weights.size // 10**6 + 1
    folder = cached_folder(
        cache_of(settings) / f"{label}-image-graph-{_VERSION}",
        (_GRAPH,),
        lambda draft: _write(weights, size, draft / _GRAPH, runtime),
        what=f"the graph of {weights.id}",
        megabytes=megabytes,
    )
    if precision != "int8":
        return folder / _GRAPH
    quantized = cached_folder(
        cache_of(settings) / f"{label}-image-graph-{_VERSION}-int8-{version('onnxruntime')}",
        (_GRAPH,),
        lambda draft: _quantize(folder / _GRAPH, draft / _GRAPH),
        what=f"the graph of {weights.id} in 8 bits",
        megabytes=megabytes // 4 + 1,
    )
    return quantized / _GRAPH


def _write(weights: Weights, size: int, file: Path, runtime: Runtime) -> None:
    torch = runtime.torch()
    on_cpu = replace(runtime, device="cpu")
    module = load_network(weights, on_cpu)
    by_cls = has_cls(module)

    # Defined here because its base class is in torch, which is imported late.
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
            warnings.simplefilter(
                "ignore"
            )  # of shapes that are traced as constants: the comparison would show a wrong one
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
            _replace_conditions(file)
            session = on_cpu.by(Plan("onnx", "exact")).session(file)
            apart = max(
                _relative_difference(found, expected.numpy())
                for pixels in tried
                for found, expected in zip(session.run({_INPUT: pixels.numpy()}), whole(pixels), strict=True)
            )
    except Exception as error:  # the exporter raises many kinds, and so does a graph that accepts one batch size only
        raise WeightsError(f"{weights.id} cannot be exported to ONNX: {first_line(error)}") from error
    if not apart <= _TOLERANCE:
        raise WeightsError(
            f"{weights.id} as an ONNX graph gives other numbers: they differ by {apart:.2g} of the largest, "
            f"not at most {_TOLERANCE}"
        )


def _replace_conditions(file: Path) -> None:
    """Replace each `Where` that turns -1 in a shape into 1 by a `Max`, which gives the same.

    The exporter writes them for `expand`. On CPUs without AVX-512, OpenVINO reads a condition's 1 as a float, where it
    is a denormal. With denormals flushed the condition is false, the -1 stays, and the graph fails.
    """
    import onnx

    model = onnx.load(str(file), load_external_data=False)
    nodes = model.graph.node
    made_by = {output: node for node in nodes for output in node.output}
    one = onnx.numpy_helper.from_array(np.array([1], np.int64), "one_of_memewax")
    model.graph.initializer.append(one)
    for expand in (node for node in nodes if node.op_type == "Expand"):
        where = made_by.get(expand.input[1])
        if where is None or where.op_type != "Where":
            continue
        condition, _, shape = where.input
        equal = made_by.get(condition)
        if equal is not None and equal.op_type == "Equal" and shape in equal.input:
            where.CopyFrom(onnx.helper.make_node("Max", [shape, one.name], where.output, where.name))
    onnx.save(model, str(file))


def _relative_difference(found: NDArray[Any], expected: NDArray[Any]) -> float:
    return float(np.abs(found - expected).max() / max(1e-12, float(np.abs(expected).max())))


def _quantize(graph: Path, file: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = file.with_name("prepared.onnx")
    try:
        quant_pre_process(graph, prepared, skip_symbolic_shape=True)
        quantize_dynamic(prepared, file, op_types_to_quantize=["MatMul"], per_channel=True, weight_type=QuantType.QInt8)
    except Exception as error:  # of many kinds, for unsupported graphs
        raise WeightsError(f"{graph} cannot be quantized to int8: {first_line(error)}") from error
    finally:
        prepared.unlink(missing_ok=True)

"""A sentence model written out as an ONNX graph: from token ids to the unit vector, as one graph.

On a CPU that graph takes two thirds of the time that torch takes for the same numbers, and half of it for a lone
sentence; and whoever has it needs neither transformers nor sentence-transformers, which take seconds to import.
"""

import warnings
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from core.errors import WeightsError
from models.runtime import Runtime
from models.text_graph import GRAPH, TOKENIZER, TextGraph
from models.text_torch import SentenceEmbedder
from models.weights import Weights

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_TRIED: Final = ("one", "A sentence of a few words, and its end.", "word " * 300)
"""Texts by which the graph is compared with the model: alone, and together, where the short ones are padded."""
_APART: Final = 1e-4
_OPSET: Final = 17


def export(weights: Weights, folder: Path, runtime: Runtime) -> None:
    """Write graph and tokenizer into `folder`, on the CPU.

    Raises `WeightsError` where the model cannot be written as a graph that gives the same vectors: one that puts a
    prompt before each text, has no tokenizer of its own, or computes what the exporter does not know.
    """
    on_cpu = replace(runtime, device="cpu")
    embedder = SentenceEmbedder(weights, on_cpu)
    model = embedder.model
    if model.default_prompt_name is not None:
        raise WeightsError(f"{weights.id} puts a prompt before each text")
    try:
        tokenizer = model.tokenizer.backend_tokenizer
        tokenizer.enable_truncation(model.max_seq_length)
        tokenizer.enable_padding(pad_id=model.tokenizer.pad_token_id, pad_token=model.tokenizer.pad_token)
        tokenizer.save(str(folder / TOKENIZER))
        _write(model, folder / GRAPH, runtime.torch())
        graph = TextGraph(folder, on_cpu)
        found = np.concatenate([graph(_TRIED), *(graph([text]) for text in _TRIED)])
    except Exception as error:  # the exporter raises many kinds, and so does a graph that knows one length only
        raise WeightsError(f"{weights.id} cannot be written as a graph: {error}") from error
    expected = np.stack(embedder.infer(_TRIED))
    apart = float(np.abs(found - np.concatenate([expected, expected])).max())
    if not apart <= _APART:
        raise WeightsError(f"{weights.id} as a graph gives other vectors, by up to {apart:.2g}")


def _write(model: "SentenceTransformer", file: Path, torch: ModuleType) -> None:
    tokens = {name: value for name, value in model.preprocess(list(_TRIED)).items() if isinstance(value, torch.Tensor)}
    axes: dict[str, dict[int, str]] = {name: {0: "texts", 1: "tokens"} for name in tokens}

    # Made here, since its base is of a module that only a runtime gives.
    class Whole(torch.nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *tensors: Any) -> Any:
            vectors = self.model(dict(zip(tokens, tensors, strict=True)))["sentence_embedding"]
            return torch.nn.functional.normalize(vectors, dim=1)

    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # of shapes taken for constants: the comparison tells
        torch.onnx.export(
            Whole().eval(),
            tuple(tokens.values()),
            file,
            input_names=list(tokens),
            output_names=["vectors"],
            dynamic_axes=axes,
            opset_version=_OPSET,
            dynamo=False,
        )

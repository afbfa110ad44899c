"""Export a sentence model to ONNX: one graph from token ids to the unit vector.

On a CPU the graph takes two thirds of torch's time for the same results, and half of it for a single sentence. It needs
neither transformers nor sentence-transformers, which take seconds to import.
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
"""Texts for comparing the graph with the model: each alone, and all in a batch, where the short ones are padded."""
_TOLERANCE: Final = 1e-4
"""Absolute difference of the components that is accepted."""
_OPSET: Final = 17


def export(weights: Weights, folder: Path, runtime: Runtime) -> None:
    """Write the graph and its tokenizer into `folder`, on the CPU.

    Raises:
        WeightsError: If the model cannot be exported to a graph with the same vectors: it puts a prompt before each
            text, has no fast tokenizer, or has operations that the exporter does not support.
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
    except Exception as error:  # the exporter raises many kinds, and so does a graph that accepts one length only
        raise WeightsError(f"{weights.id} cannot be exported to ONNX: {error}") from error
    expected = np.stack(embedder.infer(_TRIED))
    apart = float(np.abs(found - np.concatenate([expected, expected])).max())
    if not apart <= _TOLERANCE:
        raise WeightsError(
            f"{weights.id} as an ONNX graph gives other vectors: they differ by {apart:.2g}, not at most {_TOLERANCE}"
        )


def _write(model: "SentenceTransformer", file: Path, torch: ModuleType) -> None:
    tokens = {name: value for name, value in model.preprocess(list(_TRIED)).items() if isinstance(value, torch.Tensor)}
    axes: dict[str, dict[int, str]] = {name: {0: "texts", 1: "tokens"} for name in tokens}

    # Defined here because its base class is in torch, which is imported late.
    class Whole(torch.nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *tensors: Any) -> Any:
            vectors = self.model(dict(zip(tokens, tensors, strict=True)))["sentence_embedding"]
            return torch.nn.functional.normalize(vectors, dim=1)

    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # of shapes that are traced as constants: the comparison would show a wrong one
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

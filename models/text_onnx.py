"""Sentence embeddings by an ONNX graph, which `models.text_export` makes of a model on torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

from core.records import Vector
from models.base import Embedder
from models.model_cache import cache_of, kept
from models.model_settings import CacheSettings, TextSettings
from models.runtime import Runtime
from models.text_graph import GRAPH, TOKENIZER, TextGraph
from models.validation import check_texts
from models.weights import Weights

_VERSION: Final = 1
"""Of the graphs that are kept: those of another are not looked at."""


class OnnxSentenceEmbedder(Embedder[str]):
    """A vector for a sentence or short paragraph; what is longer than the model reads (256 tokens) is cut."""

    stage = "text_embedding"

    def __init__(self, weights: Weights, graph: TextGraph, batch_size: int = 32) -> None:
        self.name = weights.label
        self.batch_size = batch_size
        self.engine = graph.engine
        self._graph = graph
        self.dimension = self.one("").size

    @classmethod
    def load(cls, weights: Weights, settings: TextSettings, runtime: Runtime) -> Self:
        """The graph of `weights` is made where it is not there yet, which takes some seconds.

        Raises `WeightsError` where it cannot be made or kept, or is damaged.
        """
        graph = TextGraph(graph_folder(weights, settings, runtime), runtime)
        return cls(weights, graph, settings.text_batch)

    def infer(self, batch: Sequence[str]) -> list[Vector]:
        """A vector for each text, the empty one included; raises `ValueError` if one is no string."""
        return list(self._graph(check_texts(batch)))


def graph_folder(weights: Weights, settings: CacheSettings, runtime: Runtime) -> Path:
    """Where the graph of these weights lies, made if it is not there yet; raises `WeightsError` as `load` does."""

    def write(draft: Path) -> None:
        from models.text_export import export

        export(weights, draft, runtime)

    folder = cache_of(settings) / f"{weights.label.replace('/', '--')}-graph-{_VERSION}"
    return kept(
        folder, (GRAPH, TOKENIZER), write, what=f"the graph of {weights.id}", megabytes=weights.size // 10**6 + 1
    )

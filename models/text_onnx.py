"""Sentence embedder that runs an ONNX graph, exported from a torch model by `models.text_export`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

from core.records import Vector
from models.base import Embedder
from models.model_cache import cache_of, cached_folder
from models.model_settings import CacheSettings, TextSettings
from models.runtime import Runtime
from models.text_graph import GRAPH, TOKENIZER, TextGraph
from models.validation import check_texts
from models.weights import Weights

_VERSION: Final = 1
"""Version of the cached graphs; those of other versions are ignored."""


class OnnxSentenceEmbedder(Embedder[str]):
    """An embedder of sentences and short paragraphs; longer text is truncated (to 256 tokens by MiniLM)."""

    stage = "text_embedding"

    def __init__(self, weights: Weights, graph: TextGraph, batch_size: int = 32) -> None:
        self.name = weights.label
        self.batch_size = batch_size
        self.engine = graph.engine
        self._graph = graph
        self.dimension = self.one("").size

    @classmethod
    def load(cls, weights: Weights, settings: TextSettings, runtime: Runtime) -> Self:
        """Load the graph of `weights`, after exporting it if it is not cached, which takes some seconds.

        Raises:
            WeightsError: If it cannot be exported or cached, or the cached one is damaged.
        """
        graph = TextGraph(graph_folder(weights, settings, runtime), runtime)
        return cls(weights, graph, settings.text_batch)

    def infer(self, batch: Sequence[str]) -> list[Vector]:
        """Embed each text, which may be empty; raises `ValueError` if one is not a string."""
        return list(self._graph(check_texts(batch)))


def graph_folder(weights: Weights, settings: CacheSettings, runtime: Runtime) -> Path:
    """Return the folder of the graph of these weights, exported if not cached; raises `WeightsError` as `load` does."""

    def write(draft: Path) -> None:
        from models.text_export import export

        export(weights, draft, runtime)

    folder = cache_of(settings) / f"{weights.label.replace('/', '--')}-graph-{_VERSION}"
    return cached_folder(
        folder, (GRAPH, TOKENIZER), write, what=f"the graph of {weights.id}", megabytes=weights.size // 10**6 + 1
    )

"""Sentence embedder that runs on torch, by sentence-transformers (Reimers and Gurevych 2019, arXiv:1908.10084)."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from core.errors import WeightsError
from core.records import Vector
from models.base import Embedder
from models.runtime import Runtime
from models.torch_runtime import Torch
from models.validation import check_texts
from models.weights import Weights

_CPU_PASS: Final = 8
"""Texts per batch on a CPU, of similar length: batches of 32 take 1.5 times as long because of padding."""


class SentenceEmbedder(Embedder[str]):
    """An embedder of sentences and short paragraphs; longer text is truncated (to 256 tokens by MiniLM)."""

    stage = "text_embedding"
    engine = Torch.name

    def __init__(self, weights: Weights, runtime: Runtime, batch_size: int = 32) -> None:
        """Load `weights`; raises `WeightsError` if they are not a sentence model."""
        self._torch = runtime.torch()
        self.name = weights.label
        self.batch_size = batch_size
        self._pass = min(batch_size, _CPU_PASS) if runtime.device == "cpu" else batch_size
        with runtime.transformers():
            from sentence_transformers import SentenceTransformer

            try:
                self.model = SentenceTransformer(str(weights.path), device=runtime.device, local_files_only=True)
            except (OSError, ValueError, RuntimeError, KeyError) as error:
                raise WeightsError(
                    f"{weights.path} is not a model that sentence-transformers can load: {error}"
                ) from error
        self.dimension = self.one("").size

    def infer(self, batch: Sequence[str]) -> list[Vector]:
        """Embed each text, which may be empty; raises `ValueError` if one is not a string."""
        with self._torch.inference_mode():
            vectors = self.model.encode(
                check_texts(batch),
                batch_size=self._pass,
                convert_to_numpy=True,
                normalize_embeddings=True,
                show_progress_bar=False,
            )
        return list(np.asarray(vectors, dtype=np.float32))

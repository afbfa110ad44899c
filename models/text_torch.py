"""Sentence embeddings by sentence-transformers (Reimers and Gurevych 2019, arXiv:1908.10084), on torch."""

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
"""Texts that go through together on a CPU, those of like length: 32 at once take half as long again, for padding."""


class SentenceEmbedder(Embedder[str]):
    """A vector for a sentence or short paragraph; what is longer than the model reads (256 tokens) is cut."""

    stage = "text_embedding"
    engine = Torch.name

    def __init__(self, weights: Weights, runtime: Runtime, batch_size: int = 32) -> None:
        """Load `weights`; raises `WeightsError` if they are no sentence model."""
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
                    f"{weights.path} is no model that sentence-transformers can load: {error}"
                ) from error
        self.dimension = self.one("").size

    def infer(self, batch: Sequence[str]) -> list[Vector]:
        """A vector for each text, the empty one included; raises `ValueError` if one is no string."""
        with self._torch.inference_mode():
            vectors = self.model.encode(
                check_texts(batch),
                batch_size=self._pass,
                convert_to_numpy=True,
                normalize_embeddings=True,
                show_progress_bar=False,
            )
        return list(np.asarray(vectors, dtype=np.float32))

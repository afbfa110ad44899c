"""`eval similarity`: cosine of pairs of sentences against human similarity scores."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import pearsonr, spearmanr

from core.errors import MemewaxError
from core.records import Failure, Vector
from memewax.evaluation.data import number
from memewax.evaluation.measures import Indices, Report, with_intervals
from memewax.evaluation.progress_bar import answers
from models.base import Embedder

_PACKAGES = ("scipy", "sentence-transformers", "torch")


def measure(lines: Sequence[dict[str, Any]], model: Embedder[str]) -> Report:
    """Measure the correlation of cosine and human score, by rank (Spearman) and linear (Pearson).

    Args:
        lines: Objects with sentences `a` and `b`, and their `score`.
        model: Embeds sentences.
    """
    left, right = (np.stack(_vectors([str(line[side]) for line in lines], model)) for side in ("a", "b"))
    cosine = np.einsum("ij,ij->i", left, right)
    score = np.array([number(line, "score") for line in lines])

    def figures(indices: Indices) -> dict[str, float]:
        ours, human = cosine[indices], score[indices]
        if len(set(ours)) < 2 or len(set(human)) < 2:  # there is nothing to correlate
            return {"spearman": np.nan, "pearson": np.nan}
        return {
            "spearman": float(spearmanr(ours, human).statistic),
            "pearson": float(pearsonr(ours, human).statistic),
        }

    return Report(
        "similarity", len(lines), with_intervals(len(lines), figures), {"text_embedding": model.name}, _PACKAGES
    )


def _vectors(texts: list[str], model: Embedder[str]) -> list[Vector]:
    vectors = []
    for vector in answers("embedding", model, texts):
        if isinstance(vector, Failure):
            raise MemewaxError(f"{model.name} failed on a sentence: {vector.reason}")
        vectors.append(vector)
    return vectors

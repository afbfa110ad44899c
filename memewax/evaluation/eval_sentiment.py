"""`eval sentiment`: sentiment of texts against human labels or ratings."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import recall_score

from core.errors import WorldError
from core.records import Failure, Sentiment
from memewax.evaluation.data import lines_of, number
from memewax.evaluation.measures import Figure, Indices, Report, with_intervals
from memewax.evaluation.moods import MOODS, mood_of_compound, mood_of_shares, mood_of_valence
from memewax.evaluation.noise import noisy
from memewax.evaluation.progress_bar import answers
from memewax.evaluation.texts import count, fold_nothing, rates
from models.base import Model

_PACKAGES = ("scikit-learn", "scipy", "vaderSentiment")
_NEUTRAL = Sentiment(negative=0.0, neutral=1.0, positive=0.0, compound=0.0)


def texts_with_mood(path: Path, limit: int | None) -> list[dict[str, Any]]:
    """Read lines with a `text` and a `label` or `valence`; raise `WorldError` if there are none."""
    lines = [line for line in lines_of(path, "text") if line.get("label") in MOODS or _is_rated(line)]
    if not lines:
        raise WorldError(f"{path} has no line with a label ({', '.join(MOODS)}) or a valence (-4 to 4)")
    return lines[:limit]


def measure(
    lines: Sequence[dict[str, Any]], model: Model[str, Sentiment], *, by_compound: bool, noise: float
) -> Report:
    """Measure macro-averaged recall of moods and, for rated lines, correlation of compound score and rating.

    Args:
        lines: Objects with `text` and `label` (negative, neutral, positive) or `valence` (-4 to 4).
        model: Judges sentiment.
        by_compound: Derive the mood from the compound score (as VADER does) rather than from the largest share.
        noise: OCR errors per character to add to the texts, 0 to 1.
    """
    texts = [str(line["text"]) for line in lines]
    seen = noisy(texts, noise) if noise else texts
    given = answers("judging tone", model, seen)
    found = [_NEUTRAL if isinstance(answer, Failure) else answer for answer in given]
    mood = np.array([mood_of_compound(it.compound) if by_compound else mood_of_shares(it) for it in found])
    compound = np.array([it.compound for it in found])
    rated = np.array([_is_rated(line) for line in lines])
    valence = np.array([number(line, "valence") if _is_rated(line) else np.nan for line in lines])
    labels = [line.get("label") for line in lines]
    expected = np.array(
        [label if label in MOODS else mood_of_valence(rating) for label, rating in zip(labels, valence, strict=True)]
    )

    def figures(indices: Indices) -> dict[str, float]:
        recall = recall_score(expected[indices], mood[indices], labels=list(MOODS), average=None, zero_division=np.nan)
        measured = {"macro_recall": float(np.nanmean(recall))}
        measured |= {f"recall.{name}": float(share) for name, share in zip(MOODS, recall, strict=True)}
        rows = indices[rated[indices]]
        if rated.any():
            there = (
                len(set(compound[rows])) > 1 and len(set(valence[rows])) > 1
            )  # otherwise there is nothing to correlate
            measured["pearson"] = float(pearsonr(compound[rows], valence[rows]).statistic) if there else np.nan
            measured["spearman"] = float(spearmanr(compound[rows], valence[rows]).statistic) if there else np.nan
        return measured

    options = {"mood_by": "compound score" if by_compound else "largest share", "noise": noise}
    failures = tuple(answer.reason for answer in given if isinstance(answer, Failure))
    measured = with_intervals(len(lines), figures)
    if noise:
        measured["noise_cer"] = Figure(rates(count(texts, seen, fold_nothing))["cer"])
    return Report("sentiment", len(lines), measured, {"sentiment": model.name}, _PACKAGES, options, failures)


def _is_rated(line: dict[str, Any]) -> bool:
    return line.get("valence") is not None

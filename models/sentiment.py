"""Sentiment by VADER's lexicon and rules (Hutto and Gilbert 2014)."""

from collections.abc import Sequence
from typing import Any, Self

from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from memewax.records import Sentiment
from models.base import Model
from models.inputs import check_texts
from models.weights import Weights, sentiment_weights


class VaderSentiment(Model[str, Sentiment]):
    """Shares and compound score, rounded to 3 and 4 digits; a text without words is neutral."""

    stage = "sentiment"
    batch_size = 256

    def __init__(self, weights: Weights) -> None:
        """Load the lexicon, which lies beside VADER's code."""
        self.name = weights.label
        self._analyzer: Any = SentimentIntensityAnalyzer()

    @classmethod
    def load(cls) -> Self:
        """VADER; raises `WeightsError` if its lexicon is not what was pinned."""
        return cls(sentiment_weights())

    def infer(self, batch: Sequence[str]) -> list[Sentiment]:
        """Sentiment of each text; raises `ValueError` if one is no string."""
        return [self._of(text) for text in check_texts(batch)]

    def _of(self, text: str) -> Sentiment:
        scores = self._analyzer.polarity_scores(text)
        if not any(scores.values()):  # VADER's answer where there is no word to share among
            return Sentiment(negative=0.0, neutral=1.0, positive=0.0, compound=0.0)
        return Sentiment(
            negative=float(scores["neg"]),
            neutral=float(scores["neu"]),
            positive=float(scores["pos"]),
            compound=float(scores["compound"]),
        )

"""Sentiment analysis by VADER's lexicon and rules; `models.transformers_text` has the one by a trained model.

Hutto and Gilbert: VADER: A parsimonious rule-based model for sentiment analysis of social media text. ICWSM 2014.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Self

from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from core.records import Sentiment
from models.base import Model
from models.model_settings import SentimentSettings
from models.validation import check_texts
from models.weights import Weights, sentiment_weights

_NEUTRAL = Sentiment(negative=0.0, neutral=1.0, positive=0.0, compound=0.0)


class SentimentModel(Model[str, Sentiment]):
    """A sentiment model: shares that sum to 1 and a compound score from -1 to 1; a blank text is neutral."""

    stage = "sentiment"

    @abstractmethod
    def score(self, texts: list[str]) -> list[Sentiment]:
        """Compute the sentiment of one or more texts, none of them blank."""

    def infer(self, batch: Sequence[str]) -> list[Sentiment]:
        """Compute the sentiment of each text; raises `ValueError` if one is not a string."""
        texts = check_texts(batch)
        with_words = [text for text in texts if text.strip()]
        scores = iter(self.score(with_words) if with_words else ())
        return [next(scores) if text.strip() else _NEUTRAL for text in texts]


class VaderSentiment(SentimentModel):
    """VADER; it rounds shares to 3 digits and the compound score to 4."""

    batch_size = 256

    def __init__(self, weights: Weights) -> None:
        """Load the lexicon, which is installed beside VADER's code."""
        self.name = weights.label
        self._analyzer: Any = SentimentIntensityAnalyzer()

    @classmethod
    def load(cls, settings: SentimentSettings) -> Self:
        """Load VADER; raises `WeightsError` if its lexicon differs from the pinned one."""
        return cls(sentiment_weights(settings))

    def score(self, texts: list[str]) -> list[Sentiment]:
        """Compute the sentiment of each text."""
        return [self._of(text) for text in texts]

    def _of(self, text: str) -> Sentiment:
        scores = self._analyzer.polarity_scores(text)
        if not any(scores.values()):  # what VADER returns for a text without words
            return _NEUTRAL
        return Sentiment(
            negative=float(scores["neg"]),
            neutral=float(scores["neu"]),
            positive=float(scores["pos"]),
            compound=float(scores["compound"]),
        )

"""Sentiment of texts: by VADER's lexicon and rules (Hutto and Gilbert 2014), or by a model that was trained for it."""

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
    """Shares and compound score; a text without words is neutral."""

    stage = "sentiment"

    @abstractmethod
    def score(self, texts: list[str]) -> list[Sentiment]:
        """Sentiment of each text, one at least, none of them blank."""

    def infer(self, batch: Sequence[str]) -> list[Sentiment]:
        """Sentiment of each text; raises `ValueError` if one is no string."""
        texts = check_texts(batch)
        told = [text for text in texts if text.strip()]
        scores = iter(self.score(told) if told else ())
        return [next(scores) if text.strip() else _NEUTRAL for text in texts]


class VaderSentiment(SentimentModel):
    """VADER, rounded to 3 and 4 digits."""

    batch_size = 256

    def __init__(self, weights: Weights) -> None:
        """Load the lexicon, which lies beside VADER's code."""
        self.name = weights.label
        self._analyzer: Any = SentimentIntensityAnalyzer()

    @classmethod
    def load(cls, settings: SentimentSettings) -> Self:
        """VADER; raises `WeightsError` if its lexicon is not what was pinned."""
        return cls(sentiment_weights(settings))

    def score(self, texts: list[str]) -> list[Sentiment]:
        """Sentiment of each text."""
        return [self._of(text) for text in texts]

    def _of(self, text: str) -> Sentiment:
        scores = self._analyzer.polarity_scores(text)
        if not any(scores.values()):  # VADER's answer where there is no word to share among
            return _NEUTRAL
        return Sentiment(
            negative=float(scores["neg"]),
            neutral=float(scores["neu"]),
            positive=float(scores["pos"]),
            compound=float(scores["compound"]),
        )

"""Conversion of sentiment scores and human ratings to negative, neutral or positive."""

from typing import Final

from core.records import Sentiment

MOODS: Final = ("negative", "neutral", "positive")

THRESHOLD: Final = 0.05
"""A compound score of at least this is positive, at most minus this is negative: VADER's recommendation."""
_VALENCE: Final = 0.5
"""The same for mean human ratings, -4 to 4: neutral if they round to 0."""


def mood_of_compound(compound: float) -> str:
    """Return the mood of a compound score, -1 to 1, by VADER's thresholds."""
    return _sign(compound, THRESHOLD)


def mood_of_shares(sentiment: Sentiment) -> str:
    """Return the mood with the largest share."""
    return max(MOODS, key=lambda mood: float(getattr(sentiment, mood)))


def mood_of_valence(valence: float) -> str:
    """Return the mood of a mean human rating, -4 to 4, rounded to an integer."""
    return _sign(valence, _VALENCE)


def _sign(value: float, threshold: float) -> str:
    return "positive" if value >= threshold else "negative" if value <= -threshold else "neutral"

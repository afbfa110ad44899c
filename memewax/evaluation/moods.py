"""Whether a text is negative, neutral or positive, by its scores or by people's."""

from typing import Final

from core.records import Sentiment

MOODS: Final = ("negative", "neutral", "positive")

THRESHOLD: Final = 0.05
"""From this compound score on a text is positive, and negative from minus this: VADER's own recommendation."""
_VALENCE: Final = 0.5
"""People's mean rating from -4 to 4 is neutral where it rounds to 0."""


def mood_of_compound(compound: float) -> str:
    """By VADER's thresholds."""
    return _sign(compound, THRESHOLD)


def mood_of_shares(sentiment: Sentiment) -> str:
    """That with the largest share."""
    return max(MOODS, key=lambda mood: float(getattr(sentiment, mood)))


def mood_of_valence(valence: float) -> str:
    """By the whole number nearest to a mean rating."""
    return _sign(valence, _VALENCE)


def _sign(value: float, threshold: float) -> str:
    return "positive" if value >= threshold else "negative" if value <= -threshold else "neutral"

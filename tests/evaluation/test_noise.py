import pytest

from memewax.evaluation.noise import noisy
from memewax.evaluation.texts import count, fold_nothing, rates

TEXTS = ["When you finally understand the joke", "NOBODY: absolutely nobody: me at 3 am"] * 40


@pytest.mark.parametrize("rate", [0.1, 0.2, 0.3])
def test_about_so_many_characters_are_wrong(rate: float) -> None:
    cer = rates(count(TEXTS, noisy(TEXTS, rate), fold_nothing))["cer"]
    assert cer == pytest.approx(rate, rel=0.25)


def test_the_same_each_time_and_none_without_noise() -> None:
    assert noisy(TEXTS, 0.2) == noisy(TEXTS, 0.2) != TEXTS
    assert noisy(TEXTS, 0.0) == TEXTS

"""Text out of what the recogniser's network says at each point of a line."""

import numpy as np
import pytest

from models.ocr.ctc import text_of
from models.ocr.parts import CropText

LETTERS = np.array(["", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ", *"abcde", " "])


def seen(path: str, spaces: dict[int, float] | None = None) -> CropText:
    """Read a path of letters, `-` the blank, each sure but for the share of the space at some places."""
    probabilities = np.zeros((len(path), len(LETTERS)), np.float32)
    for at, letter in enumerate(path):
        share = (spaces or {}).get(at, 0.0)
        probabilities[at, -1] = share
        probabilities[at, 0 if letter == "-" else LETTERS.tolist().index(letter)] += 1 - share
    return text_of(probabilities, LETTERS)


def test_repetitions_are_one_letter_and_blanks_none() -> None:
    assert seen("--HH-E-LL-L-OO--") == CropText("HELLO", 1.0)


def test_a_path_that_begins_at_once() -> None:
    assert seen("A") == CropText("A", 1.0)


@pytest.mark.parametrize("path", ["", "-", "----", "- -", "   "])
def test_nothing_is_read_where_nothing_is(path: str) -> None:
    assert seen(path) == CropText("", 0.0)


def test_a_space_that_the_network_rates_second_stands_between_words() -> None:
    assert seen("MY-WIFE", {2: 0.3}).text == "MY WIFE"


def test_a_space_that_it_hardly_sees_does_not() -> None:
    assert seen("MY-WIFE", {2: 0.04}).text == "MYWIFE"


def test_a_capital_after_a_small_letter_is_one_name() -> None:
    assert seen("Ba-B", {2: 0.3}).text == "BaB"
    assert seen("Ba B").text == "Ba B"


def test_spaces_are_single_and_never_at_the_ends() -> None:
    assert seen("-A- -B-", {0: 0.4, 2: 0.4, 4: 0.4, 6: 0.4}).text == "A B"


def test_letters_are_never_changed_by_spaces() -> None:
    random = np.random.default_rng(4)
    for _ in range(50):
        probabilities = random.dirichlet(np.full(len(LETTERS), 0.05), 30).astype(np.float32)
        plain = probabilities.copy()
        best = probabilities.argmax(axis=1)
        plain[np.arange(30), -1] = np.where(best == len(LETTERS) - 1, plain[:, -1], 0.0)
        assert text_of(probabilities, LETTERS).text.replace(" ", "") == text_of(plain, LETTERS).text.replace(" ", "")


def test_confidence_is_the_mean_of_the_letters() -> None:
    probabilities = np.zeros((2, len(LETTERS)), np.float32)
    probabilities[0, [1, 2]] = 0.9, 0.1
    probabilities[1, [3, 2]] = 0.7, 0.3
    assert text_of(probabilities, LETTERS) == CropText("AC", 0.8)

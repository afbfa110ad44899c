"""OCR metrics: character and word error rates (jiwer), and F1 of words regardless of order."""

import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import jiwer
import numpy as np
from numpy.typing import NDArray

_UNPUNCTUATED: Final = str.maketrans(dict.fromkeys(string.punctuation + "\N{RIGHT SINGLE QUOTATION MARK}", " "))

EditCounts = NDArray[np.int64]
"""Shape (texts, 6): character errors, characters, word errors, words, words found, words read."""


def fold(text: str) -> str:
    """Normalise a text to lower-cased words without punctuation, separated by single spaces."""
    return " ".join(text.casefold().translate(_UNPUNCTUATED).split())


def fold_case(text: str) -> str:
    """Normalise a text to lower-cased words with their punctuation, separated by single spaces."""
    return " ".join(text.casefold().split())


def fold_nothing(text: str) -> str:
    """Normalise only white space to single spaces: line breaks do not count as errors."""
    return " ".join(text.split())


FORMS: Final[Mapping[str, Callable[[str], str]]] = {"": fold, "case_folded": fold_case, "as_is": fold_nothing}
"""Normalisations by name. The unnamed one is the main figure: memes are often in capitals and rarely punctuated."""


def count(expected: Sequence[str], read: Sequence[str], form: Callable[[str], str] = fold) -> EditCounts:
    """Count the errors in each text as edits (Levenshtein) between expected and read text: shape (texts, 6).

    Args:
        expected: Transcriptions.
        read: Texts as read, in the same order.
        form: Normalises both.
    """
    rows = [_row(form(one), form(other)) for one, other in zip(expected, read, strict=True)]
    return np.array(rows, np.int64).reshape(-1, 6)


def rates(counts: EditCounts) -> dict[str, float]:
    """Compute character and word error rates (0 and up) and F1 of words as multisets (0 to 1) over all texts.

    Examples:
        >>> rates(count(["one does not"], ["one dose not"]))["wer"]
        0.3333333333333333
    """
    wrong_characters, characters, wrong_words, words, found, read = counts.sum(axis=0).tolist()
    return {
        "cer": wrong_characters / max(1, characters),
        "wer": wrong_words / max(1, words),
        "word_f1": 2 * found / (words + read) if words + read else 1.0,
    }


def _row(expected: str, read: str) -> tuple[int, int, int, int, int, int]:
    words, found = expected.split(), read.split()
    same = (Counter(words) & Counter(found)).total()
    if not expected:  # jiwer needs a non-empty reference; everything that was read is an error
        return len(read), 0, len(found), 0, same, len(found)
    characters = jiwer.process_characters(expected, read)
    by_word = jiwer.process_words(expected, read)
    return (
        characters.substitutions + characters.deletions + characters.insertions,
        len(expected),
        by_word.substitutions + by_word.deletions + by_word.insertions,
        len(words),
        same,
        len(found),
    )

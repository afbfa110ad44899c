"""How well a text was read: error rates over characters and words (jiwer), and words found whatever their order."""

import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import jiwer
import numpy as np
from numpy.typing import NDArray

_UNPUNCTUATED: Final = str.maketrans(dict.fromkeys(string.punctuation + "\N{RIGHT SINGLE QUOTATION MARK}", " "))

EditCounts = NDArray[np.int64]
"""Shape (texts, 6): wrong characters, characters, wrong words, words, words that were found, words that were read."""


def fold(text: str) -> str:
    """Lower-cased words without punctuation, one space between them."""
    return " ".join(text.casefold().translate(_UNPUNCTUATED).split())


def fold_case(text: str) -> str:
    """Lower-cased words with their punctuation, one space between them."""
    return " ".join(text.casefold().split())


def fold_nothing(text: str) -> str:
    """The words as they are, one space between them: how lines break is no mistake."""
    return " ".join(text.split())


FORMS: Final[Mapping[str, Callable[[str], str]]] = {"": fold, "case_folded": fold_case, "as_is": fold_nothing}
"""Ways to look at a text. The one without a name counts: memes shout, and what stands in them is rarely punctuated."""


def count(expected: Sequence[str], read: Sequence[str], form: Callable[[str], str] = fold) -> EditCounts:
    """Mistakes in each text of `read`, as edits (Levenshtein) that turn it into its text of `expected`."""
    rows = [_row(form(one), form(other)) for one, other in zip(expected, read, strict=True)]
    return np.array(rows, np.int64).reshape(-1, 6)


def rates(counts: EditCounts) -> dict[str, float]:
    """Character and word error rates (0 and up) and F1 of the words as multisets (0 to 1), over all texts together."""
    wrong_characters, characters, wrong_words, words, found, read = counts.sum(axis=0).tolist()
    return {
        "cer": wrong_characters / max(1, characters),
        "wer": wrong_words / max(1, words),
        "word_f1": 2 * found / (words + read) if words + read else 1.0,
    }


def _row(expected: str, read: str) -> tuple[int, int, int, int, int, int]:
    words, found = expected.split(), read.split()
    same = (Counter(words) & Counter(found)).total()
    if not expected:  # jiwer wants something to compare with; all that was read is too much
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

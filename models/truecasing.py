"""Texts in capitals, in the case in which a sentence would have them: names are found by their capital."""

import re
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Self

from core.errors import WeightsError
from models.catalogue import HUNSPELL_EN
from models.wheels import wheel_folder

_WORD: Final = re.compile(r"[^\W\d_]+(?:['\N{RIGHT SINGLE QUOTATION MARK}][^\W\d_]+)*")
_MOSTLY: Final = 0.5
"""Where more of the letters are capitals they say nothing about names; the rest may be a watermark's."""
_WORDS: Final = 3
"""Fewer words in capitals are abbreviations as likely as shouting."""
_CACHED: Final = 65_536


class Truecaser:
    """Gives each word in capitals the case that an English dictionary has it in.

    A word that the dictionary knows in lower case is lowered, an abbreviation stays, and every other word, known as a
    name or not at all, keeps its first capital. That is cruder than a model of sentences (Lita et al. 2003), and
    found more names in tweets put into capitals than casing by a tagger did (docs/quality.md).
    """

    def __init__(self, folder: Path) -> None:
        """Load Hunspell's dictionary in `folder`; raises `WeightsError` if it is none."""
        from spylls.hunspell import Dictionary

        try:
            self._dictionary: Any = Dictionary.from_files(str(folder / "en_US"))
        except (OSError, ValueError, LookupError) as error:
            raise WeightsError(f"{folder} is no dictionary that can be read: {error}") from error
        stems = [word.stem for word in self._dictionary.dic.words]
        self._abbreviations = {stem.lower() for stem in stems if len(stem) > 1 and stem.isupper()}
        self._cased = lru_cache(_CACHED)(self._look_up)

    @classmethod
    def load(cls) -> Self:
        """The pinned English dictionary; raises `WeightsError` if it is not there or not what was pinned."""
        folder = wheel_folder(HUNSPELL_EN.wheel)
        if folder is None:
            raise WeightsError(f"no English dictionary here: pip install {HUNSPELL_EN.wheel.requirement}")
        return cls(folder)

    def __call__(self, text: str) -> str:
        """The text, of the same length, recased where it is mostly capitals and as it is otherwise."""
        words = list(_WORD.finditer(text))
        shouted = sum(len(word[0]) > 1 and word[0].isupper() for word in words)
        if shouted < _WORDS or _share_of_capitals(text) <= _MOSTLY:
            return text
        parts, end = [], 0
        for word in words:
            parts += [text[end : word.start()], self._cased(word[0]) if word[0].isupper() else word[0]]
            end = word.end()
        return "".join([*parts, text[end:]])

    def _look_up(self, word: str) -> str:
        lowered = "".join(map(_lower, word))
        if lowered[0] == "i" and lowered[1:2] in {"", "'", "\N{RIGHT SINGLE QUOTATION MARK}"}:
            return word[0] + lowered[1:]
        if self._dictionary.lookup(lowered):
            return lowered
        return word if lowered in self._abbreviations else word[0] + lowered[1:]


def _lower(letter: str) -> str:
    """The letter in lower case, or as it is where that would be two: offsets must stay what they are."""
    lowered = letter.lower()
    return lowered if len(lowered) == 1 else letter


def _share_of_capitals(text: str) -> float:
    capitals = sum(map(str.isupper, text))
    return capitals / max(1, capitals + sum(map(str.islower, text)))

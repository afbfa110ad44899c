"""Truecasing: restore the case of text in capitals, because entity recognisers find names by their capital letter."""

import re
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Self

from core.errors import WeightsError
from models.catalogue import HUNSPELL_EN
from models.wheels import wheel_folder

_WORD: Final = re.compile(r"[^\W\d_]+(?:['\N{RIGHT SINGLE QUOTATION MARK}][^\W\d_]+)*")
_MIN_CAPITALS: Final = 0.5
"""Share of capitals among the letters above which they say nothing about names. The rest may be a watermark's."""
_MIN_WORDS: Final = 3
"""Fewer words in capitals may be abbreviations rather than shouting."""
_CACHED_WORDS: Final = 65_536


class Truecaser:
    """Give each word in capitals its case in an English dictionary.

    A word that the dictionary has in lower case is lower-cased, an abbreviation stays, and any other word, a name or an
    unknown one, keeps its first capital. That is cruder than a language model (Lita et al. 2003), but with tweets put
    into capitals it found more names than casing by a tagger did (docs/measurements/quality.md).
    """

    def __init__(self, folder: Path) -> None:
        """Load the Hunspell dictionary in `folder`; raises `WeightsError` if it cannot be read."""
        from spylls.hunspell import Dictionary

        try:
            self._dictionary: Any = Dictionary.from_files(str(folder / "en_US"))
        except (OSError, ValueError, LookupError) as error:
            raise WeightsError(f"{folder} has no Hunspell dictionary that can be read: {error}") from error
        stems = [word.stem for word in self._dictionary.dic.words]
        self._abbreviations = {stem.lower() for stem in stems if len(stem) > 1 and stem.isupper()}
        self._cased = lru_cache(_CACHED_WORDS)(self._look_up)

    @classmethod
    def load(cls) -> Self:
        """Load the pinned English dictionary; raises `WeightsError` if it is missing or differs from the pinned one."""
        folder = wheel_folder(HUNSPELL_EN.wheel)
        if folder is None:
            raise WeightsError(f"no English dictionary is installed: pip install {HUNSPELL_EN.wheel.requirement}")
        return cls(folder)

    def __call__(self, text: str) -> str:
        """Return the text with restored case if it is mostly capitals, else unchanged; its length stays the same."""
        words = list(_WORD.finditer(text))
        shouted = sum(len(word[0]) > 1 and word[0].isupper() for word in words)
        if shouted < _MIN_WORDS or _share_of_capitals(text) <= _MIN_CAPITALS:
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
    """Lower-case a letter, unless the result would be two characters: offsets must stay valid."""
    lowered = letter.lower()
    return lowered if len(lowered) == 1 else letter


def _share_of_capitals(text: str) -> float:
    capitals = sum(map(str.isupper, text))
    return capitals / max(1, capitals + sum(map(str.islower, text)))

"""Simulated OCR errors: letters substituted, deleted and inserted."""

from collections.abc import Sequence
from random import Random
from string import ascii_lowercase
from typing import Final

_ALIKE: Final[dict[str, str]] = {
    "a": "o", "b": "h", "c": "e", "d": "cl", "e": "c", "f": "t", "g": "9", "h": "b", "i": "l", "j": "i", "k": "lc",
    "l": "I", "m": "rn", "n": "r", "o": "0", "p": "n", "q": "g", "r": "n", "s": "5", "t": "f", "u": "v", "v": "y",
    "w": "vv", "x": "z", "y": "v", "z": "2", "B": "8", "D": "O", "E": "F", "G": "6", "H": "N", "I": "l", "J": "]",
    "L": "I", "M": "N", "O": "0", "Q": "O", "R": "P", "S": "5", "T": "I", "U": "V", "W": "VV", "Z": "2", "0": "O",
    "1": "l", "5": "S", "8": "B", ".": "", ",": ".", "'": "", "!": "l", "?": "2",
}  # fmt: skip
"""Most frequent substitution of each letter: shapes that differ in a stroke, for Tesseract and neural OCR alike."""

_MISTAKEN: Final = 0.7
_LOST: Final = 0.2
"""Shares of errors that are substitutions and deletions; the rest are insertions of letters or blanks."""


def noisy(texts: Sequence[str], rate: float, seed: int = 0) -> list[str]:
    """Add about `rate` OCR errors per character (0 to 1) to texts; the same seed gives the same errors."""
    random = Random(seed)  # noqa: S311 - variety, not secrecy
    return ["".join(_read(letter, random) if random.random() < rate else letter for letter in text) for text in texts]


def _read(letter: str, random: Random) -> str:
    kind = random.random()
    if kind < _MISTAKEN:
        return "" if letter.isspace() else _ALIKE.get(letter, random.choice(ascii_lowercase))
    if kind < _MISTAKEN + _LOST:
        return ""
    return letter + random.choice((" ", random.choice(ascii_lowercase)))

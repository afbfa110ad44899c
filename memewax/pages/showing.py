"""Helpers of the HTML pages: inline thumbnails, word-by-word comparison of texts, and templates."""

from base64 import b64encode
from dataclasses import dataclass
from difflib import SequenceMatcher
from io import BytesIO
from pathlib import Path
from typing import Final

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from PIL import Image, ImageOps

from memewax.evaluation.texts import fold

_THUMBNAIL: Final = 440


@dataclass(frozen=True, slots=True)
class Word:
    """A word, and whether it matches the other text."""

    text: str
    right: bool


def compared(other: str, text: str) -> tuple[tuple[Word, ...], ...]:
    """Compare a text with another word by word; return its lines, with each word marked as right or wrong."""
    words = text.split()
    matcher = SequenceMatcher(None, [fold(word) for word in other.split()], [fold(word) for word in words], False)
    right = {block.b + place for block in matcher.get_matching_blocks() for place in range(block.size)}
    judged = iter([Word(word, number in right) for number, word in enumerate(words)])
    return tuple(tuple(next(judged) for _ in line.split()) for line in text.splitlines())


def thumbnail(path: Path, side: int = _THUMBNAIL) -> str | None:
    """Return the image at `path` as a data URI (WebP, at most `side` pixels a side), or None if it cannot be read."""
    try:
        with Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, Image.DecompressionBombError, ValueError):
        return None
    image.thumbnail((side, side))
    buffer = BytesIO()
    image.save(buffer, "WEBP", quality=75)
    return f"data:image/webp;base64,{b64encode(buffer.getvalue()).decode()}"


def templates(package: str) -> Environment:
    """Return the HTML templates of a package and those that all pages share, such as `shell.html`.

    All text is escaped, and an undefined name is an error.
    """
    return Environment(
        loader=ChoiceLoader([PackageLoader(package, "."), PackageLoader("memewax.pages", ".")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

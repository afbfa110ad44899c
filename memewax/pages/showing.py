"""What pages show: images made small within the page itself, and texts judged word by word."""

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
    """A word, and whether the other text has it in that place."""

    text: str
    right: bool


def compared(other: str, text: str) -> tuple[tuple[Word, ...], ...]:
    """The lines of `text`, each word judged by whether `other` has it in that place."""
    words = text.split()
    matcher = SequenceMatcher(None, [fold(word) for word in other.split()], [fold(word) for word in words], False)
    right = {block.b + place for block in matcher.get_matching_blocks() for place in range(block.size)}
    judged = iter([Word(word, number in right) for number, word in enumerate(words)])
    return tuple(tuple(next(judged) for _ in line.split()) for line in text.splitlines())


def thumbnail(path: Path, side: int = _THUMBNAIL) -> str | None:
    """The image at `path`, of at most `side` pixels, as a data URI; None where there is none."""
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
    """The HTML templates of a package and those that all pages share, `shell.html` first of them.

    All text is escaped, and a name that does not exist is an error.
    """
    return Environment(
        loader=ChoiceLoader([PackageLoader(package, "."), PackageLoader("memewax.pages", ".")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

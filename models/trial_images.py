"""Images for comparing engines, with lines of text at known positions.

The photographs are files of scikit-image and scikit-learn, which easyocr and sentence-transformers depend on. Neither
package is imported.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from core.records import Pixels
from models.wheels import package_folder

_PHOTOGRAPHS: Final = (
    ("skimage", "data/astronaut.png"),
    ("skimage", "data/camera.png"),
    ("skimage", "data/chelsea.png"),
    ("skimage", "data/coffee.png"),
    ("skimage", "data/rocket.jpg"),
    ("skimage", "data/coins.png"),
    ("sklearn", "datasets/images/china.jpg"),
    ("sklearn", "datasets/images/flower.jpg"),
)
_LINES: Final = (
    ("WHEN THE TESTS PASS", "but you forgot to save"),
    ("NOBODY:", "my cat at three in the morning"),
    ("one does not simply", "READ THE WHOLE MANUAL"),
    ("COFFEE, 2 SUGARS", "please and thank you"),
    ("up, up and away!", "THERE GOES THE BUDGET"),
    ("Found $4.20 in the sofa", "RICH AGAIN"),
    ("ME ON HOLIDAY", "still answering e-mail"),
    ("spring is here", "ACHOO"),
)
_HEIGHTS: Final = (44, 26)
"""Font sizes of the two lines in pixels."""
_MARGIN: Final = 6
_STROKE: Final = 2
SIDE: Final = 512
"""Longest side of an image in pixels, at most."""


@dataclass(frozen=True, slots=True)
class TrialImage:
    """An image with lines of text."""

    pixels: Pixels
    lines: tuple[Pixels, ...]
    """Its lines, cropped."""


@cache
def trial_images() -> tuple[TrialImage, ...]:
    """Return eight images of up to 512 x 512 pixels, always the same; noise replaces a missing photograph."""
    return tuple(_captioned(photograph, lines) for photograph, lines in zip(_photographs(), _LINES, strict=True))


def _photographs() -> Iterator[Image.Image]:
    for number, (package, path) in enumerate(_PHOTOGRAPHS):
        folder = package_folder(package)
        try:
            if folder is None:
                raise FileNotFoundError(package)
            with Image.open(folder / path) as image:
                found = image.convert("RGB")
        except OSError:
            noise = np.random.default_rng(number).integers(0, 256, (16, 16, 3), dtype=np.uint8)
            found = Image.fromarray(noise).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        found.thumbnail((SIDE, SIDE))
        yield found


def _captioned(image: Image.Image, lines: tuple[str, ...]) -> TrialImage:
    draw = ImageDraw.Draw(image)
    places = []
    for text, height, is_above in zip(lines, _HEIGHTS, (True, False), strict=True):
        font = ImageFont.load_default(height)
        x = image.width / 2
        y = 2 * _MARGIN if is_above else image.height - 2 * _MARGIN
        anchor = "ma" if is_above else "md"
        draw.text((x, y), text, "white", font, anchor, stroke_width=_STROKE, stroke_fill="black")
        left, top, right, bottom = draw.textbbox((x, y), text, font, anchor, stroke_width=_STROKE)
        places.append((left - _MARGIN, top - _MARGIN, right + _MARGIN, bottom + _MARGIN))
    return TrialImage(np.asarray(image), tuple(np.asarray(image.crop(place)) for place in places))

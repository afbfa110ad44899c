"""Drawing of memes: a slightly varied photograph with two phrases."""

from dataclasses import dataclass
from io import BytesIO
from random import Random
from typing import Final

from PIL import Image, ImageDraw, ImageEnhance, ImageFont

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

SIDES: Final = (440, 480, 512)
"""Longest sides of images, in pixels: small, since the text detector's time grows with the area."""
_GAP: Final = "  "
"""Two spaces between words, since the outline of the letters covers one."""
_SMALLEST: Final = 18
"""Smallest font size, in pixels."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """An image and the text drawn on it."""

    image: Image.Image
    lines: tuple[str, ...] = ()
    """Lines from top to bottom."""


def vary(photograph: Image.Image, random: Random) -> Image.Image:
    """Vary a photograph: crop up to 8 % off each side, change brightness and contrast, scale to one of `SIDES`."""
    width, height = photograph.size
    left, top, right, bottom = (random.uniform(0, 0.08) for _ in range(4))
    image = photograph.crop(
        (round(left * width), round(top * height), round((1 - right) * width), round((1 - bottom) * height))
    )
    image = ImageEnhance.Brightness(image).enhance(random.uniform(0.85, 1.15))
    image = ImageEnhance.Contrast(image).enhance(random.uniform(0.9, 1.1))
    return scale(image, random.choice(SIDES) / max(image.size))


def scale(image: Image.Image, factor: float) -> Image.Image:
    """Scale an image by a factor."""
    return image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.LANCZOS)


def overlay(image: Image.Image, top: str, bottom: str) -> Drawn:
    """Draw both phrases in white letters with a dark outline, at the top and at the bottom."""
    image = image.copy()
    edge = round(image.height * 0.035)
    font, lines = _fit(top, image.width)
    _write(image, lines, font, edge)
    lower_font, lower = _fit(bottom, image.width)
    _write(image, lower, lower_font, image.height - edge - _height(lower, lower_font))
    return Drawn(image, _plain(*lines, *lower))


def banner(image: Image.Image, top: str, bottom: str) -> Drawn:
    """Draw both phrases in black in a white bar above the image."""
    font, lines = _fit(f"{top}. {bottom}.", image.width)
    bar = _height(lines, font) + 24
    whole = Image.new("RGB", (image.width, image.height + bar), "white")
    whole.paste(image, (0, bar))
    _write(whole, lines, font, 10, fill="black", outline=None)
    return Drawn(whole, _plain(*lines))


def repost(image: Image.Image, random: Random) -> Image.Image:
    """Modify an image as a repost does: crop the edges, scale down, and save as a low-quality JPEG."""
    cut = random.uniform(0.005, 0.02)
    width, height = image.size
    image = image.crop((round(cut * width), round(cut * height), round((1 - cut) * width), round((1 - cut) * height)))
    buffer = BytesIO()
    scale(image, random.uniform(0.85, 0.95)).save(buffer, "JPEG", quality=random.randint(50, 65))
    return Image.open(buffer)


def _fit(text: str, width: int) -> tuple[_Font, tuple[str, ...]]:
    """Return the largest font in which `text` fits into one or two lines of `width` pixels, and these lines."""
    size = width // 11
    while True:
        font = ImageFont.load_default(size)
        lines = _wrap(text.split(), font, 0.93 * width)
        if size <= _SMALLEST or all(font.getlength(line) <= 0.93 * width for line in lines):
            return font, lines
        size -= 1


def _wrap(words: list[str], font: _Font, width: float) -> tuple[str, ...]:
    """Wrap words to one line if they fit, otherwise to two lines as equal in length as possible."""
    whole = _GAP.join(words)
    if len(words) == 1 or font.getlength(whole) <= width:
        return (whole,)
    pairs = ((_GAP.join(words[:cut]), _GAP.join(words[cut:])) for cut in range(1, len(words)))
    return min(pairs, key=lambda pair: max(map(font.getlength, pair)))


def _line_height(font: _Font) -> int:
    _, top, _, bottom = font.getbbox("Ag", stroke_width=2)
    return round((bottom - top) * 1.12)


def _height(lines: tuple[str, ...], font: _Font) -> int:
    return len(lines) * _line_height(font)


def _write(
    image: Image.Image,
    lines: tuple[str, ...],
    font: _Font,
    y: int,
    *,
    fill: str = "white",
    outline: str | None = "black",
) -> None:
    draw = ImageDraw.Draw(image)
    for number, line in enumerate(lines):
        at = (image.width / 2, y + number * _line_height(font))
        if outline:
            draw.text(at, line, font=font, anchor="ma", fill=outline, stroke_fill=outline, stroke_width=4)
        draw.text(at, line, font=font, anchor="ma", fill=fill, stroke_fill=fill, stroke_width=1)


def _plain(*lines: str) -> tuple[str, ...]:
    return tuple(line.replace(_GAP, " ") for line in lines)

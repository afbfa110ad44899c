"""Choose a background for transparent images on which they are visible."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_LIGHT: Final = 176
"""Greys from here on, of 255, are hard to see on white."""
_DARK: Final = 80
"""Greys up to here are hard to see on black."""
_MUCH: Final = 0.25
"""Share of the outline that must remain visible."""
_OPAQUE: Final = 128


def flattened(image: Image.Image) -> Image.Image:
    """Convert an image to RGB; transparent pixels become white, or black or grey if the outline would vanish on white.

    Stickers with white letters are made for chats with a dark background, and are invisible on white.
    """
    if image.mode not in {"RGBA", "LA"}:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    ground = _ground(np.asarray(layer))
    return Image.alpha_composite(Image.new("RGBA", layer.size, (ground, ground, ground, 255)), layer).convert("RGB")


def _ground(pixels: NDArray[Any]) -> int:
    """Choose the background for RGBA pixels of shape (height, width, 4), as a grey of 255."""
    opaque = pixels[:, :, 3] >= _OPAQUE
    if opaque.all():
        return 255
    inside = opaque.copy()
    inside[1:] &= opaque[:-1]
    inside[:-1] &= opaque[1:]
    inside[:, 1:] &= opaque[:, :-1]
    inside[:, :-1] &= opaque[:, 1:]
    outline = pixels[opaque & ~inside][:, :3].astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    if not len(outline) or (outline >= _LIGHT).mean() < _MUCH:
        return 255
    return 0 if (outline <= _DARK).mean() < _MUCH else 128

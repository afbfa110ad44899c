"""Validation of model inputs, in one place so that all models reject the same inputs with the same messages."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from core.records import Pixels


def check_pixels(image: Any) -> Pixels:
    """Return the image if it is uint8 of shape (height, width, 3) and not empty; raise `ValueError` otherwise."""
    if not isinstance(image, np.ndarray):
        raise ValueError(f"an image is an array of pixels, not {type(image).__name__}")  # noqa: TRY004
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ValueError(f"an image is uint8 of shape (height, width, 3), not {image.dtype} of {image.shape}")
    return image


def check_texts(texts: Sequence[Any]) -> list[str]:
    """Return the texts as a list; raises `ValueError` if one is not a string."""
    for text in texts:
        if not isinstance(text, str):
            raise ValueError(f"a text is a string, not {type(text).__name__}")  # noqa: TRY004
    return list(texts)

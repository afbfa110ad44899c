"""What a model accepts, checked in one place so that every model refuses the same things in the same words."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from core.records import Pixels


def check_pixels(image: Any) -> Pixels:
    """The image itself: uint8, shape (height, width, 3), both sides at least 1; raises `ValueError` otherwise."""
    if not isinstance(image, np.ndarray):
        raise ValueError(f"an image is an array of pixels, not {type(image).__name__}")  # noqa: TRY004
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ValueError(f"an image is uint8 of shape (height, width, 3), not {image.dtype} of {image.shape}")
    return image


def check_texts(texts: Sequence[Any]) -> list[str]:
    """The texts themselves; raises `ValueError` if one is no string."""
    for text in texts:
        if not isinstance(text, str):
            raise ValueError(f"a text is a string, not {type(text).__name__}")  # noqa: TRY004
    return list(texts)

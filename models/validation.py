"""What a model accepts, checked in one place so that every model refuses the same things in the same words."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from core.records import Pixels


def check_pixels(picture: Any) -> Pixels:
    """The picture itself: uint8, shape (height, width, 3), both sides at least 1; raises `ValueError` otherwise."""
    if not isinstance(picture, np.ndarray):
        raise ValueError(f"a picture is an array of pixels, not {type(picture).__name__}")  # noqa: TRY004
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
        raise ValueError(f"a picture is uint8 of shape (height, width, 3), not {picture.dtype} of {picture.shape}")
    return picture


def check_texts(texts: Sequence[Any]) -> list[str]:
    """The texts themselves; raises `ValueError` if one is no string."""
    for text in texts:
        if not isinstance(text, str):
            raise ValueError(f"a text is a string, not {type(text).__name__}")  # noqa: TRY004
    return list(texts)

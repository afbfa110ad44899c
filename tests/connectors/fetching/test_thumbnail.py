"""A small image shows what the large one shows, within the pixels that are allowed."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from connectors.fetching.thumbnail import thumbnail


def shown(data: bytes) -> Image.Image:
    image = Image.open(BytesIO(data))
    assert image.format == "WEBP"
    return image


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((640, 480), (320, 240)),
        ((480, 640), (240, 320)),
        ((100, 50), (100, 50)),
        ((1, 1), (1, 1)),
        ((400, 1600), (107, 427)),  # a chat's letters have the size of its shorter side
    ],
)
def test_it_fits_into_its_square(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert shown(thumbnail(np.zeros((size[1], size[0], 3), np.uint8), 320)).size == expected


def test_no_side_is_longer_than_webp_can_hold() -> None:
    assert max(shown(thumbnail(np.zeros((60_000, 65, 3), np.uint8), 1024)).size) <= 16_383


def test_it_looks_like_the_image() -> None:
    image = np.zeros((600, 600, 3), np.uint8)
    image[:300, :, 0] = 250
    image[300:, :, 2] = 250
    small = np.asarray(shown(thumbnail(image, 32)).convert("RGB")).astype(int)
    assert np.abs(small[4] - [250, 0, 0]).max() < 40
    assert np.abs(small[-4] - [0, 0, 250]).max() < 40

"""Decoding: every kind of image becomes colours over white, and what is none a reason."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from connectors.fetching.decode import decode
from connectors.fetching.outcomes import FetchError

RED = (254, 0, 0)


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    out = BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def pixels(data: bytes, max_pixels: int = 10**6, max_side: int = 512) -> NDArray[np.uint8]:
    found = decode(data, max_pixels=max_pixels, max_side=max_side)
    assert found.dtype == np.uint8
    assert found.ndim == 3
    assert found.shape[2] == 3
    return found


def halves(mode: str, left: Any, right: Any, side: int = 16) -> Image.Image:
    """A square image of two colours."""
    image = Image.new(mode, (side, side), right)
    image.paste(left, (0, 0, side // 2, side))
    return image


def corners(image: NDArray[np.uint8]) -> list[list[int]]:
    """Top left and top right."""
    return [image[0, 0].tolist(), image[0, -1].tolist()]


def test_an_image_lies_as_its_exif_says() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    image = pixels(encoded(Image.new("RGB", (8, 4), RED), "JPEG", exif=exif))
    assert image.shape == (8, 4, 3)


def palette_with_alpha() -> Image.Image:
    image = halves("P", 0, 1)
    image.putpalette([*RED, 0, 0, 255])
    image.info["transparency"] = 1
    return image


def grey_of_16_bits() -> Image.Image:
    return Image.fromarray(np.repeat([[65535] * 8 + [0] * 8], 16, 0).astype(np.uint16))


def grey_of_floats() -> Image.Image:
    return Image.fromarray(np.repeat([[1.0] * 8 + [0.0] * 8], 16, 0).astype(np.float32))


WHITE, BLACK = [255] * 3, [0] * 3
KINDS: dict[str, tuple[Callable[[], bytes], list[list[int]]]] = {
    "palette and alpha": (lambda: encoded(palette_with_alpha(), transparency=1), [list(RED), WHITE]),
    "colours and alpha": (lambda: encoded(halves("RGBA", (*RED, 255), (0, 0, 0, 0))), [list(RED), WHITE]),
    "grey and alpha": (lambda: encoded(halves("LA", (100, 255), (0, 0))), [[100] * 3, WHITE]),
    "transparent colour": (
        lambda: encoded(halves("RGB", RED, (0, 0, 255)), transparency=(0, 0, 255)),
        [list(RED), WHITE],
    ),
    "CMYK": (lambda: encoded(halves("CMYK", (0, 0, 0, 255), (0, 0, 0, 0)), "TIFF"), [BLACK, WHITE]),
    "CMYK in JPEG": (lambda: encoded(halves("CMYK", (0, 0, 0, 255), (0, 0, 0, 0)), "JPEG"), [BLACK, WHITE]),
    "grey of 16 bits": (lambda: encoded(grey_of_16_bits()), [WHITE, BLACK]),
    "grey of floats": (lambda: encoded(grey_of_floats(), "TIFF"), [WHITE, BLACK]),
    "grey": (lambda: encoded(halves("L", 100, 200)), [[100] * 3, [200] * 3]),
    "black and white": (lambda: encoded(halves("1", 1, 0)), [WHITE, BLACK]),
    "webp": (lambda: encoded(halves("RGB", RED, (0, 0, 0)), "WEBP", lossless=True), [list(RED), BLACK]),
    "gif": (lambda: encoded(halves("RGB", RED, (0, 0, 0)), "GIF"), [list(RED), BLACK]),
    "bmp": (lambda: encoded(halves("RGB", RED, (0, 0, 0)), "BMP"), [list(RED), BLACK]),
    "ppm": (lambda: encoded(halves("RGB", RED, (0, 0, 0)), "PPM"), [list(RED), BLACK]),
    "LAB": (lambda: encoded(halves("LAB", (255, 128, 128), (0, 128, 128)), "TIFF"), [WHITE, BLACK]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_image_becomes_colours_over_white(kind: str) -> None:
    make, expected = KINDS[kind]
    np.testing.assert_allclose(corners(pixels(make())), expected, atol=2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("max_side", [8, 3])
def test_every_kind_of_image_can_be_scaled_down(kind: str, max_side: int) -> None:
    make, expected = KINDS[kind]
    image = pixels(make(), max_side=max_side)
    assert image.shape == (max_side, max_side, 3)
    np.testing.assert_allclose(corners(image), expected, atol=45)


def test_of_a_moving_image_the_first_frame_is_taken() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, (0, 0, 255))]
    image = pixels(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert corners(image)[0] == list(RED)


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "AVIF"])
@pytest.mark.parametrize("ground", [(0, 0, 0), (255, 255, 255)])
def test_frames_that_show_nothing_are_passed_over(form: str, ground: tuple[int, int, int]) -> None:
    empty = Image.new("RGB", (64, 64), ground)
    moving = {"save_all": True, "append_images": [empty, halves("RGB", RED, ground, 64)], "duration": 100}
    left, right = corners(pixels(encoded(empty, form, **moving)))
    np.testing.assert_allclose(left, RED, atol=45)
    np.testing.assert_allclose(right, ground, atol=45)


def test_where_no_frame_shows_anything_it_is_the_first() -> None:
    frames = [Image.new("RGB", (16, 16), (shade, 0, 0)) for shade in range(10, 250, 10)]
    late = halves("RGB", RED, (0, 0, 255))
    image = pixels(encoded(frames[0], "GIF", save_all=True, append_images=[*frames[1:], late]))
    assert corners(image) == [[10, 0, 0], [10, 0, 0]]


def test_a_later_frame_that_is_broken_or_too_large_costs_nothing() -> None:
    empty = Image.new("RGB", (64, 64))
    whole = encoded(empty, "GIF", save_all=True, append_images=[halves("RGB", RED, (0, 0, 255), 64)])
    assert corners(pixels(whole[: len(whole) - 20]))[1] == [0, 0, 0]
    start = whole.rindex(b"\x2c\0\0\0\0")  # the second frame's head: its size is made larger than the image's
    large = whole[: start + 5] + b"\xff\x7f\xff\x7f" + whole[start + 9 :]
    assert corners(pixels(large, max_pixels=64 * 64)) == [[0, 0, 0], [0, 0, 0]]


def test_one_pixel_is_an_image() -> None:
    assert pixels(encoded(Image.new("RGB", (1, 1), RED))).tolist() == [[list(RED)]]


@pytest.mark.parametrize(
    ("size", "shape"),
    [((100, 50), (20, 40, 3)), ((50, 100), (40, 20, 3)), ((900, 1), (1, 40, 3)), ((40, 40), (40, 40, 3))],
)
@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_a_large_image_is_scaled_down_in_proportion(size: tuple[int, int], shape: tuple[int, ...], form: str) -> None:
    assert pixels(encoded(Image.new("RGB", size, RED), form), max_side=40).shape == shape


def test_a_small_image_is_left_as_it_is() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    np.testing.assert_array_equal(pixels(encoded(Image.fromarray(noise))), noise)


def test_too_many_pixels_are_refused_before_they_are_decoded() -> None:
    data = encoded(Image.new("1", (1001, 1000)))
    with pytest.raises(FetchError, match="1001 by 1000 pixels"):
        pixels(data[:60])  # its header alone


def test_a_bomb_is_refused_by_its_header() -> None:
    with pytest.raises(FetchError, match="far too many pixels"):
        pixels(b"P4 60000 60000\n")


def test_nothing_is_no_image() -> None:
    with pytest.raises(FetchError, match="no bytes"):
        pixels(b"")


@pytest.mark.filterwarnings("ignore:::PIL")
@settings(max_examples=40, deadline=None)
@given(st.sampled_from(list(KINDS)), st.data())
def test_a_damaged_image_is_an_image_or_a_reason(kind: str, data: st.DataObject) -> None:
    damaged = bytearray(KINDS[kind][0]())
    for place in data.draw(st.lists(st.integers(0, len(damaged) - 1), max_size=4)):
        damaged[place] = data.draw(st.integers(0, 255))
    try:
        image = decode(bytes(damaged), max_pixels=10**6, max_side=512)
    except FetchError:
        return
    assert (image.dtype, image.shape[2]) == (np.uint8, 3)
    assert 1 <= min(image.shape[:2]) <= max(image.shape[:2]) <= 512


@pytest.mark.parametrize(
    ("size", "shape"),
    [((80, 1200), (496, 33, 3)), ((1200, 80), (33, 496, 3)), ((80, 300), (160, 43, 3)), ((8, 1200), (128, 1, 3))],
)
def test_a_long_image_keeps_the_size_of_its_letters_within_the_same_pixels(
    size: tuple[int, int], shape: tuple[int, ...]
) -> None:
    image = pixels(encoded(Image.new("RGB", size)), max_side=128)
    assert image.shape == shape
    assert image.shape[0] * image.shape[1] <= 1.1 * 128**2

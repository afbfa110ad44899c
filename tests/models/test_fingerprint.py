"""Copies of a picture look alike from afar, and two captions on one photograph do not."""

from collections.abc import Callable
from io import BytesIO
from random import Random

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from memewax.demo import drawing
from memewax.demo.captions import CAPTIONS
from memewax.demo.photographs import PHOTOGRAPHS
from models.duplicates import Duplicates
from models.fingerprint import BYTES, copied, fingerprint


@pytest.fixture(scope="module")
def memes() -> list[Image.Image]:
    """The demo's captions on its photographs, several on each."""
    random = Random(3)
    photographs = {photograph.template: photograph.load() for photograph in PHOTOGRAPHS}
    few = {name: drawing.scale(photographs[name], 480 / max(photographs[name].size)) for name in list(photographs)[:4]}
    return [drawing.overlay(few[name], it.top, it.bottom).image for name in few for it in random.sample(CAPTIONS, 7)]


def looks(image: Image.Image) -> bytes:
    found = fingerprint(np.asarray(image.convert("RGB")))
    assert found is not None
    return found


def is_copy(one: Image.Image, other: Image.Image) -> bool:
    known = Duplicates()
    known.original("other", looks(other))
    return known.original("one", looks(one)) is not None


def recompressed(image: Image.Image) -> Image.Image:
    buffer = BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=30)
    return Image.open(buffer)


def watermarked(image: Image.Image) -> Image.Image:
    image = image.copy()
    at = (image.width - 4, image.height - 4)
    ImageDraw.Draw(image).text(at, "example.com", font=ImageFont.load_default(16), anchor="rs", fill="white")
    return image


def barred(image: Image.Image, *, above: bool = False, text: str = "example.com") -> Image.Image:
    bar = image.height // 20
    whole = Image.new("RGB", (image.width, image.height + bar), "#222")
    whole.paste(image, (0, bar if above else 0))
    at = (4, bar // 2 + (0 if above else image.height))
    ImageDraw.Draw(whole).text(at, text, font=ImageFont.load_default(bar // 2), anchor="lm", fill="white")
    return whole


COPIES: list[Callable[[Image.Image], Image.Image]] = [
    recompressed,
    watermarked,
    lambda image: drawing.scale(image, 0.4),
    lambda image: drawing.scale(image, 0.11),
    barred,
    lambda image: recompressed(barred(image, above=True)),
    lambda image: recompressed(drawing.scale(watermarked(image), 0.7)),
]
NAMES = ["recompressed", "watermarked", "scaled", "a thumbnail", "bar below", "bar above", "all of it"]


@pytest.mark.parametrize("copy", COPIES, ids=NAMES)
def test_a_copy_is_one(copy: Callable[[Image.Image], Image.Image], memes: list[Image.Image]) -> None:
    assert all(is_copy(meme, copy(meme)) for meme in memes)
    assert all(is_copy(copy(meme), meme) for meme in memes)


def test_another_caption_on_the_same_photograph_is_no_copy(memes: list[Image.Image]) -> None:
    found = [is_copy(one, other) for place, one in enumerate(memes) for other in memes[:place]]
    assert not any(found)


def test_another_caption_with_the_same_bar_is_no_copy(memes: list[Image.Image]) -> None:
    found = [
        is_copy(barred(one), it)
        for place, one in enumerate(memes)
        for other in memes[:place]
        for it in (other, barred(other))
    ]
    assert not any(found)


def test_captions_in_bars_are_told_apart(memes: list[Image.Image]) -> None:
    captions = ["one word", "another"]
    assert not any(is_copy(barred(meme, text=captions[0]), drawing.banner(meme, *captions).image) for meme in memes)
    assert not any(is_copy(*(drawing.banner(meme, it, "and so on").image for it in captions)) for meme in memes)


def test_the_nearest_of_several_is_found(memes: list[Image.Image]) -> None:
    known = np.stack([np.frombuffer(looks(meme)[:BYTES], np.uint8) for meme in memes])
    whole = np.ones(len(memes), np.bool_)
    assert [copied(looks(recompressed(meme)), known, whole) for meme in memes] == list(range(len(memes)))
    assert copied(looks(memes[0]), known[:0], whole[:0]) is None


def test_two_without_their_bars_are_not_compared() -> None:
    random = np.random.default_rng(1)
    one, other, without = (random.bytes(BYTES) for _ in range(3))
    known = Duplicates()
    known.original("one", one + without)
    assert known.original("other", other + without) is None
    assert known.original("without", without) == "one"


def test_a_state_that_knew_no_bars_is_read() -> None:
    seen = np.random.default_rng(1).bytes(BYTES)
    known = Duplicates()
    known.original("one", seen)
    state = known.state()
    del state["whole"]
    assert Duplicates(state).original("again", seen) == "one"


@pytest.mark.parametrize("size", [(64, 64), (1, 500), (17, 3)])
def test_a_plain_picture_has_no_fingerprint(size: tuple[int, int]) -> None:
    assert fingerprint(np.full((*size, 3), 200, np.uint8)) is None


def test_the_oldest_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.duplicates._REMEMBERED", 3)
    random = np.random.default_rng(0)
    prints = [random.bytes(288) for _ in range(4)]
    known = Duplicates()
    assert [known.original(f"{number}", it) for number, it in enumerate(prints)] == [None] * 4
    known = Duplicates(known.state())
    assert [known.original("again", it) for it in (prints[1], prints[3], prints[0])] == ["1", "3", None]

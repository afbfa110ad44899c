"""Copies of an image look alike from afar, and two captions on one photograph do not."""

import pickle
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from memewax.demo import drawing
from memewax.demo.captions import CAPTIONS
from memewax.demo.photographs import PHOTOGRAPHS
from models.duplicates import Duplicates, Original
from models.fingerprint import FINGERPRINT_BYTES, fingerprint


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
    known.remember("other", looks(other), 0)
    return known.find_original("one", looks(one)) is not None


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


@pytest.mark.parametrize("turned", [False, True])
def test_long_images_are_told_apart_and_their_copies_found(turned: bool) -> None:
    """Of lines at equal distances only grey is left where a long image is squeezed into a square."""

    def listed(lines: int) -> Image.Image:
        image = Image.new("RGB", (320, 80 * lines), "white")
        for number in range(lines - 1):
            text = f"line {number + 1:02} the quick brown fox jumps"
            ImageDraw.Draw(image).text((8, 80 * number + 10), text, font=ImageFont.load_default(18), fill="black")
        return image.transpose(Image.Transpose.ROTATE_90) if turned else image

    short, long = listed(40), listed(60)
    assert not is_copy(short, long)
    assert not is_copy(long, short)
    assert all(is_copy(it, recompressed(drawing.scale(it, 0.7))) for it in (short, long))


def test_a_few_words_on_plain_ground_are_told_apart_and_their_copies_found() -> None:
    words = [Image.new("RGB", (480, 200), "#284878") for _ in range(3)]
    for image, text in zip(words, ["IMAGE ONE", "IMAGE TWO", "IMAGE SIX"], strict=True):
        ImageDraw.Draw(image).text((20, 24), text, font=ImageFont.load_default(32), fill="white")
    assert not any(is_copy(one, other) for one in words for other in words if one is not other)
    assert all(is_copy(it, recompressed(drawing.scale(it, scale))) for it in words for scale in (0.5, 0.8))


def test_the_nearest_of_several_is_found(memes: list[Image.Image]) -> None:
    known = Duplicates()
    assert known.find_original("the first", looks(memes[0])) is None
    for place, meme in enumerate(memes):
        known.remember(f"{place}", looks(meme), place)
    found = [known.find_original("again", looks(recompressed(meme))) for meme in memes]
    assert found == [Original(f"{place}", place) for place in range(len(memes))]


def test_two_without_their_bars_are_not_compared() -> None:
    random = np.random.default_rng(1)
    one, other, without = (random.bytes(FINGERPRINT_BYTES) for _ in range(3))
    known = Duplicates()
    known.remember("one", one + without, 7)
    assert known.find_original("other", other + without) is None
    assert known.find_original("without", without) == Original("one", 7)


def test_a_state_of_a_version_before_files_is_read() -> None:
    one, other = (np.random.default_rng(seed).bytes(FINGERPRINT_BYTES) for seed in (1, 2))
    prints = np.stack([np.frombuffer(it, np.uint8) for it in (one, other)])
    known = Duplicates({"ids": ["one", "other"], "prints": prints, "next": 0})
    assert known.find_original("again", one) == Original("one", -1)
    assert known.find_original("again", other) == Original("other", -1)


def test_a_post_that_comes_again_is_no_copy_of_itself() -> None:
    known = Duplicates()
    seen = np.random.default_rng(1).bytes(FINGERPRINT_BYTES)
    known.remember("one", seen, 0)
    assert known.find_original("one", seen) is None
    assert known.find_original("two", seen) == Original("one", 0)


def test_clusters_of_originals_follow_merges() -> None:
    known = Duplicates()
    seen = np.random.default_rng(1).bytes(FINGERPRINT_BYTES)
    known.remember("one", seen, 5)
    known.merge(5, 2)
    assert known.find_original("two", seen) == Original("one", 2)


def test_what_is_forgotten_is_the_original_of_nothing() -> None:
    known = Duplicates()
    one, other = (np.random.default_rng(seed).bytes(FINGERPRINT_BYTES) for seed in (1, 2))
    known.remember("one", one, 0)
    known.remember("o" * 200, other, 1)
    known.forget(["one"])
    assert known.find_original("again", one) is None
    assert known.find_original("again", other) == Original("o" * 200, 1)


@pytest.mark.parametrize("in_files", [True, False])
def test_what_is_forgotten_stays_so_and_its_place_is_used_again(in_files: bool, tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    prints = [random.bytes(FINGERPRINT_BYTES) for _ in range(5)]
    folder = tmp_path / "rows" if in_files else None
    known = Duplicates(log_folder=folder, capacity=4)

    def again(known: Duplicates) -> Duplicates:
        return Duplicates(pickle.loads(pickle.dumps(known.state())), log_folder=folder, capacity=4)

    for number, it in enumerate(prints[:4]):
        known.remember(f"{number}", it, number, "ann@a" if number == 2 else "", f"{number}.png")
    known = again(known)  # all are in files now
    assert known._rows_of(["0", "unknown", "3"]) == [0, 3]
    known.forget(["0", "unknown"])
    known.forget_author("ann@a")
    known = again(again(known))
    assert [known.find_original("x", it) is None for it in prints[:4]] == [True, False, True, False]
    assert known.forget_urls(["2.png", "3.png", "unknown.png"]) == {"3"}
    assert known.find_original("x", prints[3]) is None
    known.remember("4", prints[4], 4)  # where the first was
    known = again(known)
    assert known.find_original("x", prints[4]) == Original("4", 4)


@pytest.mark.parametrize("size", [(64, 64), (1, 500), (17, 3)])
def test_a_plain_image_has_no_fingerprint(size: tuple[int, int]) -> None:
    assert fingerprint(np.full((*size, 3), 200, np.uint8)) is None


@pytest.mark.parametrize("in_files", [True, False])
def test_the_oldest_is_forgotten_first(in_files: bool, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    prints = [random.bytes(FINGERPRINT_BYTES) for _ in range(5)]
    folder = tmp_path / "rows" if in_files else None

    def again(known: Duplicates, capacity: int = 3) -> Duplicates:
        state = pickle.loads(pickle.dumps(known.state()))
        return Duplicates(state, log_folder=folder, capacity=capacity)

    known = Duplicates(log_folder=folder, capacity=3)
    for number, it in enumerate(prints[:4]):
        known.remember(f"{number}", it, number)
        known = again(known)
    found = [known.find_original("again", it) for it in prints]
    assert found == [None, *(Original(f"{number}", number) for number in (1, 2, 3)), None]
    fewer = again(known, capacity=2)
    assert [fewer.find_original("again", it) for it in prints[1:4]] == [None, Original("2", 2), Original("3", 3)]
    fewer.remember("4", prints[4], 4)
    fewer = again(fewer, capacity=2)
    assert [it and it.cluster for it in (fewer.find_original("again", it) for it in prints)] == [None, None, None, 3, 4]


def test_a_snapshot_holds_no_fingerprints_that_are_in_files(tmp_path: Path) -> None:
    known = Duplicates(log_folder=tmp_path, capacity=1000)
    random = np.random.default_rng(0)
    for number in range(1200):
        known.remember(f"{number}", random.bytes(FINGERPRINT_BYTES), number)
    assert len(pickle.dumps(known.state())) < 21_000

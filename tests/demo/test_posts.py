import filecmp
from collections import Counter
from pathlib import Path

import numpy as np
import orjson
import pytest
from PIL import Image, ImageOps

from connectors.sources.parse import parse_post
from connectors.sources.split_messages import unpacked
from core.errors import BadRecordError, WorldError
from core.records import Message
from memewax.demo import Truth, load_truth, make_posts
from memewax.demo.broken import BROKEN_IMAGES, BROKEN_POSTS
from memewax.demo.captions import CAPTIONS, REPOSTS, TEXTLESS
from memewax.demo.photographs import PHOTOGRAPHS, Photograph, licences


def lines(folder: Path) -> list[bytes]:
    return (folder / "posts.jsonl").read_bytes().splitlines()


def good(folder: Path, truth: Truth) -> dict[str, dict[str, str]]:
    """The posts that nothing is wrong with, by id."""
    broken = {one.value for one in truth.broken}
    posts = [orjson.loads(line) for line in lines(folder) if line not in broken]
    return {post["global_id"]: post for post in posts}


def pixels(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


def test_some_sixty_posts_from_three_sources(folder: Path, truth: Truth) -> None:
    assert 55 <= len(lines(folder)) <= 70
    sources = {post["source"] for post in good(folder, truth).values()}
    assert sources == {"reddit", "imgur", "tumblr"}
    assert all(post["global_id"].endswith(f"-{post['source']}") for post in good(folder, truth).values())


def test_same_seed_same_bytes(folder: Path, tmp_path: Path) -> None:
    make_posts(tmp_path)
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    _, different, unreadable = filecmp.cmpfiles(folder, tmp_path, names, shallow=False)
    assert (different, unreadable) == ([], [])


def test_another_seed_other_posts(folder: Path, tmp_path: Path) -> None:
    make_posts(tmp_path, seed=1)
    assert load_truth(tmp_path).posts.keys().isdisjoint(load_truth(folder).posts)


def test_truth_knows_every_good_post_and_no_other(folder: Path, truth: Truth) -> None:
    assert good(folder, truth).keys() == truth.posts.keys()
    assert len(truth.posts) == len(CAPTIONS) + len(REPOSTS) + len(TEXTLESS)


def test_truth_has_the_captions_words(truth: Truth) -> None:
    drawn = {" ".join(post.text.replace(".", "").split()) for post in truth.posts.values()} - {""}
    assert drawn == {f"{caption.top} {caption.bottom}" for caption in CAPTIONS}


def test_expected_entities_are_in_the_caption() -> None:
    for caption in CAPTIONS:
        for text, _ in caption.entities:
            assert text.casefold() in f"{caption.top} {caption.bottom}".casefold()


def test_every_template_has_several_captions() -> None:
    counts = Counter(caption.template for caption in CAPTIONS)
    assert counts.keys() == {photograph.template for photograph in PHOTOGRAPHS}
    assert min(counts.values()) >= 3


def test_good_images_open_at_a_moderate_size_in_many_forms(folder: Path, truth: Truth) -> None:
    forms = set()
    for post in good(folder, truth).values():
        with Image.open(folder / post["url"]) as image:
            image.load()
            forms.add((image.format, image.mode, bool(image.getexif())))
            assert 300 <= max(image.size) <= 700
    assert {("JPEG", "CMYK", False), ("JPEG", "L", False), ("JPEG", "RGB", True), ("GIF", "P", False)} <= forms
    assert {("PNG", "RGBA", False), ("PNG", "RGB", False), ("WEBP", "RGB", False)} <= forms


def test_a_repost_is_the_same_image_with_another_id(folder: Path, truth: Truth) -> None:
    posts = good(folder, truth)
    reposts = {global_id: post for global_id, post in truth.posts.items() if post.repost_of}
    assert len(reposts) == len(REPOSTS)
    for global_id, repost in reposts.items():
        assert repost.repost_of is not None
        original = pixels(folder / posts[repost.repost_of]["url"])
        again = pixels(folder / posts[global_id]["url"])
        assert again.size != original.size
        one, other = (np.asarray(image.convert("L").resize((32, 32)), float) for image in (original, again))
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.9


def test_one_post_comes_twice(folder: Path, truth: Truth) -> None:
    assert len(lines(folder)) - len(set(lines(folder))) == truth.duplicates == 1


def test_every_broken_kind_is_in(folder: Path, truth: Truth) -> None:
    assert [one.kind for one in truth.broken] == [*(post.kind for post in BROKEN_POSTS), *BROKEN_IMAGES]
    assert {one.value for one in truth.broken} <= set(lines(folder))


def test_broken_lines_are_no_posts_and_all_others_are(folder: Path, truth: Truth) -> None:
    broken = {one.value for one in truth.broken if one.global_id is None}
    for line in lines(folder):
        if line in broken:
            with pytest.raises(BadRecordError):
                parse_post(Message(line, "test"))
        else:
            assert parse_post(Message(line, "test")).extra.keys() == {"comments"}


def test_a_broken_line_is_one_message_with_its_own_bytes(folder: Path, truth: Truth) -> None:
    """Else its dead letters could not be told from those of posts that were to be good."""
    for one in truth.broken:
        assert [message.value for message in unpacked(Message(one.value, "test"))] == [one.value]


@pytest.mark.parametrize("kind", BROKEN_IMAGES)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_broken_images_do_not_open(kind: str, folder: Path, truth: Truth) -> None:
    (broken,) = (one for one in truth.broken if one.kind == kind)
    with (
        pytest.raises((OSError, Image.DecompressionBombError)),
        Image.open(folder / orjson.loads(broken.value)["url"]) as image,
    ):
        image.load()


def test_every_photograph_is_attributed_next_to_the_images(folder: Path) -> None:
    text = (folder / "images" / "LICENCES.md").read_text()
    assert text == licences()
    for photograph in PHOTOGRAPHS:
        assert photograph.author in text
        assert photograph.licence in text
        assert photograph.package in text


@pytest.mark.parametrize("package", ["skimage", "no_such_package_at_all"])
def test_a_photograph_that_is_gone_is_named(package: str) -> None:
    gone = Photograph("gone", package, "data/gone.png", "nothing", "nobody", "none", "nowhere")
    with pytest.raises(WorldError, match=f"gone.png of the package {package}"):
        gone.load()

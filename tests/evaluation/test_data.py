from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import WorldError
from core.records import Failure
from dataflows.all_settings import Settings
from memewax.demo import load_truth, make_posts
from memewax.evaluation.data import POSTS, image_of, lines_of, posts_of
from tests.evaluation.conftest import write_lines, write_posts


def test_posts_with_the_truth_asked_for_from_the_file_or_its_folder(folder: Path) -> None:
    file = write_posts(folder, [{"text": "a"}, {"template": "cat"}, {"text": ""}, {"text": "b"}])
    assert [known.truth for known in posts_of(file, "text")] == ["a", "", "b"]
    assert [known.truth for known in posts_of(file, "template")] == ["cat"]
    assert [known.truth for known in posts_of(folder, "text", limit=1)] == ["a"]


def test_an_image_lies_beside_its_post(folder: Path) -> None:
    write_posts(folder, [{"text": "a"}, {"text": "b"}])
    (folder / "0.png").unlink()
    gone, there = (image_of(known, Settings()) for known in posts_of(folder, "text"))
    assert isinstance(gone, Failure)
    assert isinstance(there, np.ndarray)
    assert (there == 1).all()


@pytest.mark.parametrize(
    "url", ["{}/1%20a.png", "file://{}/1%2520a.png", "FILE://localhost{}/1%2520a.png", "../1%20a.png"]
)
def test_an_image_may_lie_anywhere(url: str, tmp_path: Path) -> None:
    Image.new("RGB", (3, 3), (1, 1, 1)).save(tmp_path / "1%20a.png")
    (tmp_path / "data").mkdir()
    write_lines(
        tmp_path / "data" / "x.jsonl", [{"global_id": "1", "url": url.format(tmp_path), "truth": {"text": "a"}}]
    )
    (known,) = posts_of(tmp_path / "data" / "x.jsonl", "text")
    image = image_of(known, Settings())
    assert isinstance(image, np.ndarray)
    assert (image == 1).all()


def test_images_of_the_web_are_not_fetched_to_measure_by(folder: Path) -> None:
    write_lines(folder / POSTS, [{"global_id": "1", "url": "https://a.org/1.png", "truth": {"text": "a"}}])
    (known,) = posts_of(folder, "text")
    found = image_of(known, Settings())
    assert isinstance(found, Failure)
    assert "fetches no images" in found.reason


def test_a_folder_without_posts_jsonl_is_read_whole(folder: Path) -> None:
    write_posts(folder, [{"text": "b"}]).rename(folder / "z.jsonl")
    write_lines(folder / "a.jsonl", [{"global_id": "a", "url": "0.png", "truth": {"text": "a"}}, {"text": "no post"}])
    assert [known.truth for known in posts_of(folder, "text")] == ["a", "b"]


def test_blank_lines_and_posts_without_truth_are_passed_over(folder: Path) -> None:
    posts = [{"global_id": "1", "url": "1"}, {"global_id": "2", "url": "2", "truth": {"text": None}}]
    file = write_lines(folder / POSTS, [*posts, {"global_id": "3", "url": "3", "truth": {"text": "a"}}])
    file.write_bytes(b"\n" + file.read_bytes().replace(b"\n", b"\r\n  \r\n"))
    assert [known.post.global_id for known in posts_of(folder, "text")] == ["3"]
    assert len(lines_of(file, "url")) == 3


def test_a_field_that_is_null_is_none(folder: Path) -> None:
    write_lines(folder / "a.jsonl", [{"a": None}, {"a": 0}, {"a": ""}])
    assert [line["a"] for line in lines_of(folder, "a")] == [0, ""]


def test_the_demo_s_posts_have_their_truth_beside_them(folder: Path) -> None:
    truth = load_truth(make_posts(folder).parent)
    texts = {global_id: post.text for global_id, post in truth.posts.items()}
    assert {known.post.global_id: known.truth for known in posts_of(folder, "text")} == texts


def test_lines_with_all_fields(folder: Path) -> None:
    write_lines(folder / "a.jsonl", [{"a": 1, "b": 2}, {"a": 3}])
    write_lines(folder / "b.jsonl", [{"a": 4, "b": 5}])
    assert [line["a"] for line in lines_of(folder, "a", "b")] == [1, 4]
    assert [line["a"] for line in lines_of(folder / "a.jsonl", "a", limit=1)] == [1]


@pytest.mark.parametrize(
    ("content", "told"),
    [(b'{"a": 1}\nno json\n', "line 2: not JSON"), (b"[1]\n", "line 1: not a JSON object"), (b"", "no line with b")],
)
def test_a_file_that_is_no_data_is_said(content: bytes, told: str, folder: Path) -> None:
    (folder / "a.jsonl").write_bytes(content)
    with pytest.raises(WorldError, match=told):
        lines_of(folder, "b")


def test_nothing_to_measure_is_said(folder: Path) -> None:
    with pytest.raises(WorldError, match=r"has no \.jsonl file"):
        lines_of(folder, "text")
    with pytest.raises(WorldError, match=r"has no \.jsonl file"):
        posts_of(folder, "text")
    with pytest.raises(WorldError, match="No such file"):
        posts_of(folder / "gone", "text")
    write_posts(folder, [{"template": "cat"}])
    with pytest.raises(WorldError, match="no post whose truth has the field text"):
        posts_of(folder, "text")

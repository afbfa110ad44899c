"""Images are found by looks; where only what all images share is shared, nothing was found."""

from pathlib import Path

import numpy as np
import pytest

from connectors.sinks.rows import row_of
from connectors.store.posts_table import PostRows
from core.errors import BadRecordError
from core.records import Failure, Record, Vector
from search.answering import EmbeddedQuery
from search.corpus import Corpus
from search.image_search import ImageSearch, answer_by_image, with_words
from search.post_search import FoundPost, FoundPosts, like_in_words
from search.query import Query
from search.row_cache import Filter
from tests.factories import ANSWERS, POSTS, post, sides

MODEL = sides("a", **ANSWERS)["embedding"].model
MANY = 80
"""Posts, of which the mean is known."""


def unit(*numbers: float) -> Vector:
    found = np.zeros(8, np.float32)
    found[: len(numbers)] = numbers
    made: Vector = found / np.linalg.norm(found)
    return made


def noisy(number: int) -> Vector:
    """An image like all others: far from nothing, and near to all."""
    made = np.random.default_rng(number).normal(size=8)
    made[0], made[7] = 6, 0
    return unit(*made)


def opened(folder: Path, vectors: dict[str, Vector]) -> ImageSearch:
    rows = [
        row_of(Record(post(id_), sides(id_, **{**ANSWERS, "embedding": it, "text_embedding": it})), "")
        for id_, it in vectors.items()
    ]
    PostRows(folder, POSTS).upsert(rows)
    return ImageSearch(Corpus.open(folder, "posts", "embeddings"))


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> ImageSearch:
    return opened(tmp_path_factory.mktemp("many"), {f"{number}-a": noisy(number) for number in range(MANY)})


def ids(posts: tuple[FoundPost, ...]) -> list[str]:
    return [it.hit.id for it in posts]


def test_what_all_images_share_is_no_likeness(many: ImageSearch) -> None:
    known = many.search(noisy(3), MODEL).strong
    assert (known[0].hit.id, known[0].match) == ("3-a", "looks")
    assert len(known) < MANY / 4
    found = many.search(unit(6, 0, 0, 0, 0, 0, 0, 3), MODEL)
    assert found.weak[0].hit.similarity > 0.75
    assert found.strong == ()


def test_of_few_posts_only_what_is_nearly_the_same_is_certain(tmp_path: Path) -> None:
    few = opened(tmp_path, {"same": unit(1, 0.1), "near": unit(1, 0.7), "far": unit(0, 0, 1)})
    found = few.search(unit(1), MODEL)
    assert (ids(found.strong), ids(found.weak)) == (["same"], ["near", "far"])
    assert ids(few.search(unit(1), MODEL, filter_=Filter(ids=frozenset({"far", "gone"}))).weak) == ["far"]


def test_like_a_post_is_not_the_post(tmp_path: Path) -> None:
    few = opened(tmp_path, {"a": unit(1), "b": unit(1, 0.1), "c": unit(0, 1)})
    assert ids(few.like("a").strong) == ["b"]
    assert few.like("gone") == FoundPosts()
    found = like_in_words(Corpus.open(tmp_path, "posts"), "a", 5)
    assert (ids(found.strong), ids(found.weak)) == (["b"], ["c"])


def test_another_model_is_said(many: ImageSearch) -> None:
    with pytest.raises(BadRecordError, match="choose the same model"):
        many.search(unit(1), "another@12345678.12345678")


def test_an_image_with_words_is_certain_where_both_are(many: ImageSearch) -> None:
    a, b, c = (FoundPost(it.hit, "looks") for it in many.search(noisy(3), MODEL, 3).weak)
    found = with_words(FoundPosts((a, b)), FoundPosts((b,), (c,)), 5)
    assert (found.strong, set(ids(found.weak))) == ((b,), {a.hit.id, c.hit.id})


def test_an_answer_says_how_it_was_found_or_why_not(many: ImageSearch) -> None:
    query = Query("q", b"", "posts", MANY, "image")
    answer = answer_by_image(EmbeddedQuery(query, noisy(3), MODEL, 0.1), many)
    told = [(it.metadata["found_by"], it.metadata["weak"]) for it in answer.hits]
    assert (len(told), told[0], told[-1]) == (MANY, ("looks", False), ("looks", True))
    failure = Failure("embed", "FetchError", "no image")
    assert answer_by_image(EmbeddedQuery(query, failure, MODEL, 0.1), many).error == failure
    assert answer_by_image(EmbeddedQuery(query, noisy(3), "other", 0.1), many).error is not None

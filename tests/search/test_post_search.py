"""Words and meaning are searched at once; what is sure comes first, and nothing found is an answer."""

from pathlib import Path

import numpy as np
import pytest

from connectors.sinks.rows import row_of
from connectors.store.posts_table import PostRows
from core.errors import BadRecordError
from core.records import Failure, Line, Message, Reading, Record, Vector
from search.corpus import Corpus
from search.post_search import PostSearch, answer_by_text, fuse
from search.query import parse_query
from search.row_cache import Filter
from search.words import WordIndex, WordMatches
from tests.factories import ANSWERS, POSTS, post, sides
from tests.search.test_words import BOX

MODEL = sides("a", **ANSWERS)["text_embedding"].model


def pointing(*numbers: float) -> Vector:
    found = np.zeros(8, np.float32)
    found[: len(numbers)] = numbers
    unit: Vector = found / np.linalg.norm(found)
    return unit


def row(global_id: str, read: str, meaning: Vector, **fields: str) -> dict[str, object]:
    answers = {**ANSWERS, "text": Reading((Line(read, 0.9, BOX),)), "text_embedding": meaning}
    return row_of(Record(post(global_id, **fields), sides(global_id, **answers)), "")


@pytest.fixture
def posts(tmp_path: Path) -> PostSearch:
    rows = [
        row("word", "the cat", pointing(0, 1), source="a"),
        row("meaning", "a kitten", pointing(0.8, 0.6), source="b"),
        row("far", "the weather", pointing(-1, 0.1), source="a"),
    ]
    PostRows(tmp_path, POSTS).upsert(rows)

    def embed(text: str) -> Vector | Failure:
        return Failure("embed", "ValueError", "no words") if text == "broken" else pointing(1, 0)

    return PostSearch(Corpus.open(tmp_path, "posts"), WordIndex(tmp_path), embed, MODEL)


def names(found: object) -> list[tuple[str, str]]:
    return [(it.hit.id, it.match) for it in found]  # type: ignore[attr-defined]


def test_words_come_before_meaning_and_what_is_neither_is_weak(posts: PostSearch) -> None:
    found = posts.search("cat")
    assert names(found.strong) == [("word", "all words"), ("meaning", "meaning")]
    assert names(found.weak) == [("far", "meaning")]
    assert found.strong[0].hit.similarity == pytest.approx(0.0, abs=1e-6)


def test_nothing_found_is_an_answer(posts: PostSearch) -> None:
    posts.sure = 0.95
    found = posts.search("xylophone")
    assert not found.strong
    assert {it.hit.id for it in found.weak} == {"word", "meaning", "far"}


def test_what_is_not_wanted_and_what_does_not_pass_is_not_found(posts: PostSearch) -> None:
    assert {it.hit.id for it in posts.search("cat -kitten").strong} == {"word"}
    only = posts.search("cat", filter_=Filter(source="b"))
    assert {it.hit.id for it in (*only.strong, *only.weak)} == {"meaning"}
    assert {it.hit.id for it in posts.search('"the weather"').strong} == {"far"}
    with pytest.raises(BadRecordError, match="no language"):
        posts.search("cat", filter_=Filter(language="en"))


def test_what_cannot_be_compared_is_said(posts: PostSearch) -> None:
    with pytest.raises(BadRecordError, match="no words"):
        posts.search("broken")
    posts.model = "another"
    with pytest.raises(BadRecordError, match="choose the same model"):
        posts.search("cat")


def test_an_answer_says_how_each_was_found(posts: PostSearch) -> None:
    query = parse_query(Message(b'{"id": "1", "text": "cat", "k": 3}', "here"), "posts")
    answer = answer_by_text(query, posts)
    assert [(it.metadata["found_by"], it.metadata["weak"]) for it in answer.hits] == [
        ("all words", False),
        ("meaning", False),
        ("meaning", True),
    ]
    posts.model = "another"
    failed = answer_by_text(query, posts)
    assert failed.error is not None
    assert not failed.hits


def test_ranks_are_fused() -> None:
    words = WordMatches(all=("a",), nearly=("b",), some=("c", "d"))
    assert list(fuse(words, ["d", "e", "a"])) == ["a", "b", "d", "e", "c"]
    assert fuse(words, ["e"])["e"] == "meaning"
    assert fuse(WordMatches(), []) == {}


def test_similarities_are_those_of_a_search_by_vector(posts: PostSearch) -> None:
    query = pointing(0.6, 0.8)
    (hits,) = posts.corpus.search(query[None], 3)
    same = posts.corpus.compare(query, ["word", "unknown", "far", "meaning"])
    assert {it.id: pytest.approx(it.similarity, abs=1e-6) for it in hits} == {k: v.similarity for k, v in same.items()}

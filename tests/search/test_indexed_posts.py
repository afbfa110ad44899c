"""Where a store has an index over vectors, a search asks it, and finds what reading all of them would find."""

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from typer.testing import CliRunner

from connectors.cassandra import cassandra_reader
from connectors.cassandra.cassandra_store import CassandraStore
from connectors.sinks.rows import row_of
from connectors.store.interface import Store, TableReader
from core.records import Record
from core.times import time_or_none
from memewax.commands.app import app
from search import followed_posts, store_reader
from search.corpus import Corpus
from search.image_search import ImageSearch
from search.indexed_posts import IndexedPosts, indexed_posts
from search.row_cache import Filter
from search.store_reader import StoreReader
from tests.cassandra_node import CassandraNode
from tests.connectors.cassandra.stores import made_store, parts
from tests.factories import ANSWERS, post, sides
from tests.page.stores import filled
from tests.search.test_image_search import MANY, MODEL, noisy

SOURCES = "aaaaaab"


@pytest.fixture
def store(cassandra_node: CassandraNode, tmp_path: Path) -> CassandraStore:
    made = made_store(cassandra_node, tmp_path)
    rows: list[dict[str, Any]] = []
    for number in range(MANY):
        vector = noisy(number)
        answers = sides(f"{number}-a", **{**ANSWERS, "embedding": vector, "text_embedding": vector})
        said = post(f"{number}-a", source=SOURCES[number % 7], created_time=f"2026-07-{1 + number % 28:02}T00:00:00Z")
        rows.append(row_of(Record(said, answers), ""))
    parts(made).upsert(rows)
    return made


def searched(store: Store) -> IndexedPosts:
    found = indexed_posts(store, "image", lambda: Corpus.open(store, "posts", "embeddings"))
    assert found is not None
    return found


def test_it_finds_what_a_corpus_in_memory_finds(store: CassandraStore) -> None:
    indexed, corpus = searched(store), Corpus.open(store, "posts", "embeddings")
    filters = [None, Filter(source="b"), Filter(after=corpus_time(corpus)), Filter(ids=frozenset({"3-a", "4-a"}))]
    for one in filters:
        own, other = (it.search(noisy(5)[None], 7, [one])[0] for it in (indexed, corpus))
        assert [it.id for it in own] == [it.id for it in other]
        assert [it.metadata for it in own] == [it.metadata for it in other]
        assert [it.text for it in own] == [it.text for it in other]
        np.testing.assert_allclose([it.similarity for it in own], [it.similarity for it in other], atol=1e-3)
    names = ["1-a", "nobody", "6-a"]
    for one in filters:
        own_hits, others = indexed.compare(noisy(5), names, one), corpus.compare(noisy(5), names, one)
        assert own_hits.keys() == others.keys()
        for name, hit in own_hits.items():
            assert hit.similarity == pytest.approx(others[name].similarity, abs=1e-3)
        if one is not None:
            assert indexed.passing(names, one) == corpus.passing(names, one)
    np.testing.assert_allclose(indexed.mean(), corpus.mean(), atol=1e-3)
    np.testing.assert_allclose(indexed.vector("9-a"), noisy(9), atol=1e-3)  # type: ignore[arg-type]
    assert indexed.vector("nobody") is None
    assert (indexed.has_at_least(MANY), indexed.has_at_least(MANY + 1)) == (True, False)
    assert indexed.mismatch(MODEL, noisy(1)) == corpus.mismatch(MODEL, noisy(1)) == ""
    assert indexed.mismatch("another", noisy(1)) == corpus.mismatch("another", noisy(1)) != ""


def corpus_time(corpus: Corpus) -> Any:
    (hits,) = corpus.search(noisy(5)[None], 40)
    return time_or_none(hits[30].metadata["created"])


def test_images_are_judged_as_with_all_vectors_in_memory(store: CassandraStore) -> None:
    own, other = (
        ImageSearch(it).search(noisy(3), MODEL, 5)
        for it in (searched(store), Corpus.open(store, "posts", "embeddings"))
    )
    assert [it.hit.id for it in own.strong] == [it.hit.id for it in other.strong]
    assert [it.hit.id for it in own.weak] == [it.hit.id for it in other.weak]


def test_a_filter_that_few_of_the_nearest_pass_reads_all(
    store: CassandraStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cassandra_reader, "_MOST_NEAREST", 20)
    opened: list[str] = []

    def corpus() -> Corpus:
        opened.append("corpus")
        return Corpus.open(store, "posts", "embeddings")

    found = indexed_posts(store, "image", corpus)
    assert found is not None
    assert len(found.search(noisy(5)[None], 8, [Filter(source="a")])[0]) == 8
    assert opened == []
    assert len(found.search(noisy(5)[None], 8, [Filter(source="b")])[0]) == 8
    assert opened == ["corpus"]


def test_ask_reads_no_vectors_where_the_server_finds_them(
    cassandra_node: CassandraNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = made_store(cassandra_node, tmp_path)
    row = row_of(Record(post("1-a"), sides("1-a", **ANSWERS)), "")
    parts(made).upsert([{**row, "models": {"text_embedding": "fake"}}])
    monkeypatch.setenv("MEMEWAX_MODELS", "fake")

    def refused(*_: Any, **__: Any) -> Any:
        raise AssertionError("all posts were read")

    monkeypatch.setattr(Corpus, "__init__", refused)
    asked = CliRunner().invoke(app, ["ask", "a cat", "--store", made.address, "-k", "3", "--json"])
    assert [it["id"] for it in orjson.loads(asked.stdout)["hits"]] == ["1-a"], asked.output


@pytest.mark.parametrize("kind", ["folder", "cassandra"])
def test_soon_after_a_start_the_store_itself_is_asked_what_looks_alike(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = filled(tmp_path / "store") if kind == "folder" else request.getfixturevalue("store")
    name = "1-reddit" if kind == "folder" else "3-a"
    whole = StoreReader(place)
    expected = whole.neighbours(name, 3)
    monkeypatch.setattr(followed_posts, "_AT_ONCE", 1)
    asked: list[str] = []
    reader = StoreReader(place)
    reader.catalogue()

    def nearest(table: TableReader, *given: Any) -> Any:
        asked.append(given[0])
        return type(table).nearest(table, *given)

    table = reader._table("posts")
    monkeypatch.setattr(table, "nearest", lambda *given: nearest(table, *given), raising=False)
    monkeypatch.setattr(store_reader, "_LOOK_SECONDS", 3600.0)
    found = reader.neighbours(name, 3)
    assert asked == ["embeddings"]
    assert [it for it, _ in found] == [it for it, _ in expected]
    assert [cosine for _, cosine in found] == pytest.approx([cosine for _, cosine in expected], abs=0.02)

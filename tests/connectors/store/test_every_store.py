"""What every store does, whatever it is made of; what one cannot do it says by name."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from connectors.cassandra.cassandra_store import CassandraStore
from connectors.endpoints import open_store
from connectors.sinks.cluster_events import CLUSTERS, row_of_event
from connectors.sinks.record_table import POSTS as POSTS_NAME
from connectors.sinks.record_table import SEARCHED, THUMBNAILS
from connectors.sinks.sink import TableCommand
from connectors.store.arrow_schema import is_custom
from connectors.store.interface import (
    COSINE,
    ROW_ID,
    Condition,
    ReadCursor,
    SearchTerm,
    Store,
    TableReader,
    UnsupportedError,
    WordQuery,
)
from core.columns import Column, Integer, Table
from core.errors import WorldError
from core.records import ClusterEvent, Thumbnail
from dataflows.all_settings import load_settings
from tests.cassandra_node import CassandraNode
from tests.connectors.cassandra.stores import made_store
from tests.connectors.store.dealt import Dealt
from tests.connectors.store.killed_writer import BATCH, batch
from tests.connectors.store.test_current_cluster import merge
from tests.connectors.store.test_removed_posts import row
from tests.factories import POSTS, make_removal, post
from tests.folders import ROOT
from tests.object_server import ObjectServer


def in_a_folder(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue("tmp_path") / "store")


def in_cassandra(request: pytest.FixtureRequest) -> str:
    store = made_store(request.getfixturevalue("cassandra_node"), request.getfixturevalue("tmp_path"))
    store.close()
    return store.address


def nowhere_in_cassandra(request: pytest.FixtureRequest) -> str:
    node: CassandraNode = request.getfixturevalue("cassandra_node")
    return node.address()


def older_in_cassandra(request: pytest.FixtureRequest, table: Table) -> str:
    store = opened(nowhere_in_cassandra(request), request.getfixturevalue("tmp_path"))
    assert isinstance(store, CassandraStore)
    store.create([table, CLUSTERS], has_vector_indexes=False)
    store.close()
    return store.address


class Kind(NamedTuple):
    """A kind of store."""

    address: Callable[[pytest.FixtureRequest], str]
    """Gives the address of one that has no rows."""
    new_address: Callable[[pytest.FixtureRequest], str]
    """Gives the address of a new one, where nothing is made yet."""
    lacks: frozenset[str] = frozenset()
    """What it cannot do: words, or filters of what is nearest."""
    older_address: Callable[[pytest.FixtureRequest, Table], str] = lambda request, _: in_a_folder(request)
    """Gives the address of one whose table of posts has, or gets, an older shape."""
    posts: int = 1500
    """Many of them."""


def in_a_bucket(request: pytest.FixtureRequest) -> str:
    server: ObjectServer = request.getfixturevalue("object_server")
    return f"s3://{server.bucket()}/store"


KINDS: dict[str, Kind] = {
    "folder": Kind(in_a_folder, in_a_folder),
    "s3": Kind(in_a_bucket, in_a_bucket, older_address=lambda request, _: in_a_bucket(request)),
    "cassandra": Kind(in_cassandra, nowhere_in_cassandra, frozenset({"words"}), older_in_cassandra, 300),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


@pytest.fixture
def address(kind: Kind, request: pytest.FixtureRequest) -> str:
    return kind.address(request)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def store(address: str, state: Path) -> Store:
    return opened(address, state)


def opened(address: str, state: Path) -> Store:
    return open_store(address, load_settings(), state)


def writer(store: Store, table: Table = POSTS, mark: Any = None) -> Dealt:
    store.check()
    return Dealt(store, table, mark)


def reader(store: Store, table: str = POSTS_NAME) -> TableReader:
    found = store.table(table)
    found.refresh()
    return found


def rows_of(store: Store, *columns: str, where: Sequence[Condition] = ()) -> dict[str, dict[str, Any]]:
    posts = reader(store)
    found = posts.to_arrow(["global_id", *columns], where).to_pylist()
    assert len({it["global_id"] for it in found}) == len(found), "an id is there twice"
    if not where:
        assert posts.count() == len(found)
    return {it["global_id"]: it for it in found}


def test_there_is_nothing_in_a_new_store(kind: Kind, request: pytest.FixtureRequest, state: Path) -> None:
    store = opened(kind.new_address(request), state)
    assert not store.has(POSTS_NAME)
    assert store.names() == []
    with pytest.raises(WorldError, match=re.escape(store.address)):
        store.check_there()
    assert not state.exists()


def test_what_is_written_twice_is_there_once(store: Store) -> None:
    posts = writer(store)
    posts.upsert([row("a"), row("b")])
    posts.upsert([row("b", description="again"), row("it's \\ \n'; --")])
    assert rows_of(store).keys() == {"a", "b", "it's \\ \n'; --"}
    store.check_there()
    assert store.has(POSTS_NAME)
    assert POSTS_NAME in store.names()


def test_an_older_revision_never_replaces_a_newer_one(store: Store) -> None:
    posts = writer(store)
    posts.upsert([row("a", revision=2, description="new")])
    posts.upsert([row("a", revision=1, description="old")])
    posts.upsert([row("b", revision=2, description="new"), row("b", revision=1, description="old")])
    assert {it["description"] for it in rows_of(store, "description").values()} == {"new"}
    posts.upsert([row("a", revision=2, description="the same again")])
    assert rows_of(store, "description")["a"]["description"] == "the same again"


@pytest.mark.parametrize("goes_on", [False, True])
def test_what_was_deleted_stays_deleted(store: Store, address: str, state: Path, *, goes_on: bool) -> None:
    posts = writer(store)
    posts.upsert([row("a"), row("b")])
    posts.remove([make_removal(global_id="a"), make_removal(global_id="never-seen")])
    if goes_on:
        posts = writer(opened(address, state), mark=posts.mark())
    posts.upsert([row("a", revision=2), row("never-seen"), row("c")])
    posts.remove([make_removal(global_id="a")])
    assert rows_of(store).keys() == {"b", "c"}


def test_hidden_accounts_come_back(store: Store) -> None:
    posts = writer(store)
    posts.upsert([row("a"), row("b", author="bob")])
    posts.remove([make_removal(author="ann", source="a", hidden=True)])
    posts.upsert([row("late")])
    assert rows_of(store).keys() == {"b"}
    posts.remove([make_removal(author="ann", source="a", hidden=False)])
    assert rows_of(store).keys() == {"a", "b", "late"}


def test_rows_follow_what_becomes_of_clusters(store: Store, address: str, state: Path) -> None:
    posts = writer(store)
    posts.upsert([row("a", 0), row("b", 1), row("c", 1)])
    posts.apply_events([merge(1, 0)])
    posts.upsert([row("d", 1)])
    again = writer(opened(address, state), mark=posts.mark())
    again.apply_events([ClusterEvent("split", 0, 5, ("b",))])
    again.upsert([row("e", 1)])
    found = rows_of(store, "cluster", "current_cluster")
    assert {key: it["current_cluster"] for key, it in found.items()} == {"a": 0, "b": 5, "c": 0, "d": 0, "e": 0}
    assert rows_of(store, where=[Condition("current_cluster", "in", (5, 7))]).keys() == {"b"}


def test_a_writer_that_is_killed_amid_writing_loses_and_doubles_nothing(
    store: Store, address: str, state: Path
) -> None:
    command = [sys.executable, "-m", "tests.connectors.store.killed_writer", address, str(state)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        told = [int(process.stdout.readline()) for _ in range(5)]
        process.kill()
        told += [int(line) for line in process.stdout if line.endswith("\n")]
    sure = {it["global_id"] for number in told for it in batch(number)}
    assert len(sure) == len(told) * BATCH
    assert rows_of(store).keys() >= sure
    posts = writer(opened(address, state))
    for number in range(len(told) + 2):
        posts.upsert(batch(number))
    assert rows_of(store).keys() == {it["global_id"] for number in range(len(told) + 2) for it in batch(number)}


def test_two_writers_at_once_double_nothing(address: str, state: Path) -> None:
    def write(revision: int) -> None:
        posts = writer(opened(address, state))
        for start in range(0, 40, 10):
            posts.upsert([row(f"{it}", revision=revision) for it in range(start, start + 10)])

    writer(opened(address, state))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, (1, 2)))
    found = rows_of(opened(address, state), "revision")
    assert {it["revision"] for it in found.values()} == {2}
    assert len(found) == 40


def test_a_store_of_an_older_shape_is_widened(kind: Kind, request: pytest.FixtureRequest, state: Path) -> None:
    older = replace(POSTS, columns=tuple(it for it in POSTS.columns if it.name != "cache"))
    address = kind.older_address(request, older)
    writer(opened(address, state), older).upsert([row("a")])
    again = opened(address, state)
    writer(again).upsert([{**row("b"), "cache": "exact"}])
    assert {key: it["cache"] for key, it in rows_of(again, "cache").items()} == {"a": None, "b": "exact"}
    assert rows_of(again, where=[Condition("cache", "is null")]).keys() == {"a"}


def test_columns_of_one_s_own_are_typed_and_can_be_asked_for(store: Store) -> None:
    table = replace(POSTS, columns=(*POSTS.columns, Column("year", Integer(), "Theirs", is_custom=True)))
    posts = writer(store, table)
    posts.upsert([row("a", extra={"year": 2023, "more": 1}), row("b", extra={"year": "many"}), row("c")])
    (own,) = (it for it in reader(store).schema if is_custom(it))
    assert own.name == "year"
    assert rows_of(store, where=[Condition("year", "=", 2023)]).keys() == {"a"}
    assert rows_of(store, where=[Condition("year", "is null")]).keys() == {"b", "c"}
    assert rows_of(store, where=[Condition("year", ">", 2022), Condition("source", "=", "a")]).keys() == {"a"}


def with_vector(global_id: str, vector: Sequence[float], **fields: Any) -> dict[str, Any]:
    return {**row(global_id, **fields), "embeddings": np.array([*vector, *[0.0] * (8 - len(vector))], np.float32)}


def test_the_nearest_are_found_among_those_that_a_filter_lets_through(store: Store, kind: Kind) -> None:
    made = [with_vector(f"{it}", (np.cos(it), np.sin(it)), source="ab"[it % 2]) for it in (0, 1, 2, 3)]
    writer(store).upsert([*made, {**row("none"), "embeddings": None}])
    wanted = np.array([1.0, *[0.0] * 7], np.float32)
    found = reader(store).nearest("embeddings", wanted, 3, ["source"])
    assert [it["global_id"] for it in found] == ["0", "1", "2"]
    np.testing.assert_allclose([it[COSINE] for it in found], np.cos([0, 1, 2]), atol=1e-3)
    wanted_source = [Condition("source", "=", "b")]
    if "filters" in kind.lacks:
        with pytest.raises(UnsupportedError, match=re.escape(store.address)):
            reader(store).nearest("embeddings", wanted, 3, ["source"], wanted_source)
        return
    found = reader(store).nearest("embeddings", wanted, 3, ["source"], wanted_source)
    assert [(it["global_id"], it["source"]) for it in found] == [("1", "b"), ("3", "b")]


def test_words_are_found_or_it_is_said_that_they_cannot_be(store: Store, kind: Kind) -> None:
    posts = writer(store)
    posts.upsert([row("cat", description="the cat is away"), row("dog", description="the dog ate")])
    if "words" in kind.lacks:
        with pytest.raises(UnsupportedError, match=re.escape(store.address)):
            reader(store).words(SEARCHED)
        return
    words = reader(store).words(SEARCHED)
    assert words.refresh()
    assert [key for key, _ in words.find([WordQuery((SearchTerm("cats"),))], 10)[0]] == ["cat"]
    posts.upsert([row("late", description="a cat at last")])
    assert words.refresh()
    assert {key for key, _ in words.find([WordQuery((SearchTerm("cat"),))], 10)[0]} == {"cat", "late"}
    query = WordQuery((SearchTerm("the"),), never=(SearchTerm("cat is", is_phrase=True),))
    assert [key for key, _ in words.find([query], 10)[0]] == ["dog"]


def seen_ids(posts: TableReader, seen: ReadCursor) -> set[str]:
    assert posts.refresh() is not None
    return {key for it in posts.since(seen, ["global_id"]) for key in it.column("global_id").to_pylist()}


def test_a_reader_is_told_what_changed(store: Store) -> None:
    posts = writer(store)
    posts.upsert([row("a"), row("b")])
    followed, seen = reader(store), ReadCursor()
    assert seen_ids(followed, seen) == {"a", "b"}
    before = followed.refresh()
    assert followed.refresh() == before
    posts.upsert([row("c"), row("a", revision=2)])
    assert followed.refresh() != before
    assert seen_ids(followed, seen) >= {"a", "c"}
    places = {
        key: place
        for it in followed.since(ReadCursor(), ["global_id"])
        for key, place in zip(it.column("global_id").to_pylist(), it.column(ROW_ID).to_pylist(), strict=True)
    }
    rows = followed.rows(["c", "a", "nobody"], ["revision", ROW_ID], {"c": places["c"]}).to_pylist()
    assert {it["global_id"]: it["revision"] for it in rows} == {"a": 2, "c": 1}
    assert {it["global_id"]: it[ROW_ID] for it in rows} == {key: places[key] for key in ("a", "c")}
    posts.remove([make_removal(global_id="b")])
    followed.refresh()
    assert followed.count() == 2


def test_clusters_and_small_images_have_tables_too(store: Store) -> None:
    clusters = writer(store, CLUSTERS)
    clusters.upsert([row_of_event(ClusterEvent("birth", 3)), row_of_event(ClusterEvent("merge", 4, 3))])
    clusters.upsert([row_of_event(ClusterEvent("retire", 3))])
    told = {
        it["cluster"]: (it["state"], it["into"])
        for it in reader(store, CLUSTERS.name).to_arrow(["cluster", "state", "into"]).to_pylist()
    }
    assert told == {3: ("retired", None), 4: ("merged", 3)}
    posts = writer(store)
    key = "a" * 64
    posts.write_thumbnails([Thumbnail(replace(post("a"), picture_sha256=key), b"webp", 4, 3)])
    posts.upsert([{**row("a"), "picture_sha256": key}])
    (small,) = reader(store, THUMBNAILS.name).rows([key, "b" * 64], ["webp", "width"]).to_pylist()
    assert (small["webp"], small["width"]) == (b"webp", 4)
    posts.remove([make_removal(global_id="a")])
    assert reader(store, THUMBNAILS.name).rows([key], ["webp"]).num_rows == 0


def test_compaction_leaves_all_rows(store: Store) -> None:
    posts = writer(store)
    for number in range(3):
        posts.upsert([row(f"{number}-{it}") for it in range(5)])
    posts.remove([make_removal(global_id="0-0")])
    posts.execute(TableCommand("compact", {}))
    assert len(rows_of(store)) == 14


def many(count: int) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, count, 500):
        yield [row(f"{it}", it % 97, source="abc"[it % 3]) for it in range(start, min(count, start + 500))]


@pytest.mark.parametrize("count", [0, pytest.param(100_000, marks=pytest.mark.slow)], ids=["some", "100000"])
def test_many_posts(store: Store, kind: Kind, count: int) -> None:
    posts, count = writer(store), count or kind.posts
    for some in many(count):
        posts.upsert(some)
    for some in many(min(count, 1000)):
        posts.upsert(some)
    assert len(rows_of(store)) == count
    assert len(rows_of(store, where=[Condition("source", "=", "b")])) == len(range(1, count, 3))
    assert len(rows_of(store, where=[Condition("cluster", "<", 3)])) == sum(it % 97 < 3 for it in range(count))
    assert reader(store).to_arrow(["global_id"], limit=7).num_rows == 7

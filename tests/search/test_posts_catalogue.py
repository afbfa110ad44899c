"""The catalogue that follows a store in steps is the one that reading the whole store gives."""

from collections.abc import Callable
from datetime import timedelta
from itertools import count
from pathlib import Path
from random import Random

import pyarrow as pa
import pytest

from connectors.sinks.cluster_events import CLUSTERS, row_of_event
from connectors.store.posts_table import PostStore
from connectors.store.stored_table import StoredTable
from core.records import ClusterEvent
from search import followed_posts, post_columns, post_words
from search.cluster_summaries import summaries
from search.post_columns import PostColumns
from search.posts_catalogue import Catalogue
from search.store_reader import StoreReader
from tests.factories import make_removal
from tests.page.stores import aged, row

WORDS = ["cat", "dog", "monday", "office", "nobody", "expects"]
WINDOW = timedelta(days=1)


def same(reader: StoreReader, folder: Path, when: str) -> Catalogue:
    """What the reader shows, compared with the whole store read anew."""
    found = reader.refresh()
    expected = summaries(folder, WINDOW)
    assert [it.summary for it in found.clusters] == [it for it in expected if it.size > 1], when
    alone = {it.cluster for it in expected if it.size == 1}
    assert {it.cluster for it in found.singletons} == alone, when
    for cluster in found.clusters:
        assert [it.time for it in cluster.posts] == sorted(it.time for it in cluster.posts)
        assert {it.cluster for it in cluster.posts} == {cluster.id}
    return found


@pytest.mark.parametrize("seed", range(2))
def test_steps_come_to_the_same_as_reading_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    monkeypatch.setattr(followed_posts, "_AT_ONCE", 5)
    monkeypatch.setattr(post_columns, "_GARBAGE", 10)
    monkeypatch.setattr(post_words, "_GARBAGE", 20)
    random, numbers, clusters = Random(seed), count(), count(5)
    folder = tmp_path / "store"
    store, events = PostStore(folder, 8, 8), StoredTable(folder, CLUSTERS)
    reader = StoreReader(folder, WINDOW)
    there: list[str] = []

    def come() -> None:
        ids = [f"{next(numbers)}-reddit" for _ in range(random.randint(1, 9))]
        store.upsert([made(it) for it in ids])
        there.extend(ids)

    def made(global_id: str) -> dict[str, object]:
        text = " ".join(random.choices(WORDS, k=4))
        copy_of = random.choice([None, None, *there[:3]])
        return row(global_id, random.randrange(-1, 5), random.uniform(0, 90), text, copy_of=copy_of)

    def edited() -> None:
        some = random.sample(there, min(3, len(there)))
        store.upsert([{**made(it), "revision": 2} for it in some])

    def deleted() -> None:
        some = random.sample(there, min(4, len(there)))
        store.remove([make_removal(global_id=it) for it in some])
        there[:] = [it for it in there if it not in some]

    def moved() -> None:
        kind = random.choice(["merge", "split"])
        posts = tuple(random.sample(there, min(3, len(there)))) if kind == "split" else ()
        into = next(clusters) if kind == "split" else 0
        event = ClusterEvent("split", 1, into, posts) if kind == "split" else ClusterEvent("merge", 2, into)
        store.apply_events([event])
        events.upsert([row_of_event(event)])

    steps: list[Callable[[], None]] = [come, come, edited, deleted, moved, store.compact]
    come()
    for at in range(14):
        step = random.choice(steps)
        step()
        found = same(reader, folder, f"step {at}: {step.__name__}")
        assert sorted(it.global_id for it in found.posts) == sorted(there)
        assert found.by_id.keys() == set(there)


def test_a_table_that_is_made_anew_is_read_anew(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    PostStore(folder, 8, 8).upsert([row("1-a", 0, 0), row("2-a", 0, 1)])
    reader = StoreReader(folder)
    assert len(reader.refresh().posts) == 2
    for path in sorted((folder / "posts.lance").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (folder / "posts.lance").rmdir()
    PostStore(folder, 8, 8).upsert([row("3-a", 0, 0)])
    assert [it.global_id for it in reader.refresh().posts] == ["3-a"]


def test_what_was_shown_stays_while_the_columns_go_on(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    store = PostStore(folder, 8, 8)
    store.upsert([row("1-a", 0, 0), row("2-a", 0, 1)])
    reader = StoreReader(folder)
    before = reader.refresh()
    store.upsert([{**row("1-a", 3, 50), "revision": 2}, row("3-a", 0, 2)])
    after = reader.refresh()
    assert [it.global_id for it in before.posts] == ["2-a", "1-a"]
    assert [it.global_id for it in after.posts] == ["1-a", "3-a", "2-a"]
    assert before.by_id["1-a"].cluster == 0
    assert before.by_id.get("3-a") is None


def test_filters_and_orders(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    rows = [row(f"{at}-a", 0, at, source="x" if at else "y", author=f"p{at % 2}") for at in range(4)]
    rows += [row(f"{at}-b", 1, 70 + at / 10, source="x") for at in range(2)] + [row("9-c", 2, 9)]
    PostStore(folder, 8, 8).upsert(rows)
    found = StoreReader(folder).refresh()
    assert [it.id for it in found.ordered("size")] == [0, 1]
    assert [it.id for it in found.ordered("new")] == [1, 0]
    assert [it.id for it in found.ordered("rising")] == [1]
    assert [it.id for it in found.ordered("size", found.found(source="y"))] == [0]
    assert [it.global_id for it in found.found(source="x", author="p1")] == ["3-a", "1-a"]
    assert [it.global_id for it in found.found(is_alone=True)] == ["9-c"]
    assert [it.global_id for it in found.found(cluster=1)] == ["1-b", "0-b"]
    (first, *_) = found.clusters
    since, until = (it.time for it in first.posts[1:3])
    assert [it.global_id for it in found.found(since=since, until=until)] == ["1-a"]
    assert list(found.found(source="nowhere")) == []


def test_an_old_store_says_where_posts_are_by_what_became_of_clusters(tmp_path: Path) -> None:
    folder = aged(tmp_path / "store")
    same(StoreReader(folder), folder, "old")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-05-01T12:00:00+02:00", "2026-05-01T10:00:00+00:00"),
        ("2026-05-01T12:00:00.123456Z", "2026-05-01T12:00:00.123456+00:00"),
        ("2026-06-31T12:00:00Z", None),
        ("Mon, 11 Dec 2023 08:00:00 GMT", "2023-12-11T08:00:00+00:00"),
        ("1700000000", "2023-11-14T22:13:20+00:00"),
        ("yesterday", None),
        (None, None),
    ],
)
def test_times_are_read_as_elsewhere(text: str | None, expected: str | None) -> None:
    joined = "2030-01-01T00:00:00+00:00"
    columns = PostColumns()
    made = {"global_id": "a", "_rowid": 1, "joined_time": joined, "cluster": 0, "current_cluster": 0}
    schema = pa.schema(
        {it: pa.int64() if it in {"_rowid", "cluster", "current_cluster"} else pa.string() for it in made}
        | {"created_time": pa.string()}
    )
    columns.put(pa.RecordBatch.from_pylist([{**made, "created_time": text}], schema))
    assert Catalogue(columns).posts[0].time.isoformat() == (expected or joined)

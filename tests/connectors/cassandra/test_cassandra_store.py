"""Posts in Cassandra: once each, right in any order, gone when they are taken back; on the real server."""

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from connectors.cassandra.cassandra_place import CassandraPlace, CassandraSettings
from connectors.cassandra.cassandra_store import CassandraStore
from connectors.sinks.cluster_events import CLUSTERS, row_of_event
from connectors.sinks.record_table import HIDDEN, POSTS, THUMBNAILS, posts_table
from connectors.sinks.sink import Order
from connectors.store.interface import COSINE, PLACE, Condition, Seen, UnsupportedError
from core.columns import Column, Integer
from core.errors import WorldError
from core.records import ClusterEvent, Thumbnail
from tests.cassandra_node import CassandraNode
from tests.connectors.cassandra.stores import TABLE, TIME, Parts, current, gone, ids, lying, made_store, row
from tests.making import post


@pytest.fixture
def store(cassandra_node: CassandraNode, tmp_path: Path) -> Iterator[CassandraStore]:
    made = made_store(cassandra_node, tmp_path)
    yield made
    made.close()


def read(store: CassandraStore, global_id: str) -> dict[str, Any]:
    (found,) = store.table(POSTS).rows([global_id], store.table(POSTS).schema.names).to_pylist()
    return found


def test_a_row_comes_back_as_it_was_written(store: CassandraStore) -> None:
    written = row("1-a", 4, created_time="2026-07-04T11:00:00Z", extra={"n": 1})
    Parts(store).upsert([written])
    found = read(store, "1-a")
    for name, value in written.items():
        if name == "extra":
            assert found[name] == '{"n":1}'
        elif isinstance(value, np.ndarray):
            assert found[name] == pytest.approx(value.tolist())
        elif isinstance(value, dict):
            assert {it: found[name][it] for it in value} == pytest.approx(value)
        elif name not in ("lines", "entities"):
            assert found[name] == value, name
    assert [it["text"] for it in found["lines"]] == [it["text"] for it in written["lines"]]
    assert found["current_cluster"] == 4


def test_in_any_order_the_highest_revision_is_there_once(store: CassandraStore) -> None:
    chance = random.Random(7)
    revisions = [row("1-a", cluster=it, revision=it, url=f"https://x/{it}.png", author=f"a{it}") for it in (1, 2, 3)]
    parts = Parts(store)
    for _ in range(3):
        for it in chance.choices(revisions, k=5):
            parts.upsert([it])
        parts.upsert([revisions[2]])
        parts.upsert([revisions[0]])
        assert (read(store, "1-a")["revision"], current(store)) == (3, {"1-a": 3})
        # Of the older ones nothing is left in any table.
        assert [key for _, key in store.table(POSTS).posts_of(3)] == ["1-a"]  # type: ignore[attr-defined]
        assert [name for name, _ in lying(store)].count("posts_by_cluster") == 1
        assert [name for name, _ in lying(store)].count("posts_by_name") == 2  # its URL and its author


ROWS = [
    row("1-a"),
    row("2_1-a", post_id="2-a"),
    row("2_2-a", post_id="2-a"),
    row("it's-b", author="bob"),
    row("5-b", source="b"),
    row("new-a", created_time="2026-07-04T13:00:00Z"),
]
ALL = {it["global_id"] for it in ROWS}


REMOVALS = [
    (gone(global_id="2_1-a"), {"2_1-a"}),
    (gone(global_id="2-a"), set()),
    (gone(global_id="2-a", post_id="2-a"), {"2_1-a", "2_2-a"}),
    (gone(url="https://x/it's-b.png"), {"it's-b"}),
    (gone(author="ann", source="a", time=TIME), {"1-a", "2_1-a", "2_2-a"}),
    (gone(author="ann", source="b"), {"5-b"}),
    (gone(global_id="new-a", time=TIME), set()),
]


def test_a_removal_takes_what_it_names_before_and_after_it_came(store: CassandraStore) -> None:
    for number, (removal, expected) in enumerate(REMOVALS):
        parts = Parts(store)
        rows = [it | {"revision": number + 1} for it in ROWS]  # what was deleted is another post by then
        parts.upsert(rows)
        assert ids(store) == ALL
        parts.remove(removal)
        assert ids(store) == ALL - expected
        assert {key for _, key in lying(store)} == ALL - expected
        again = Parts(store, parts.marks())  # after a restart
        again.upsert(rows)
        again.remove(removal)
        assert ids(store) == ALL - expected


def test_what_is_deleted_stays_deleted_whatever_comes_late(store: CassandraStore) -> None:
    parts = Parts(store)
    parts.remove(gone(global_id="1-a"))
    parts.upsert([row("1-a")])
    assert ids(store) == set()
    parts.upsert([row("2-a", revision=2)])
    parts.remove(gone(global_id="2-a"))
    for late in (row("2-a", revision=1), row("2-a", revision=2), row("2-a", joined="2026-07-05T00:00:00Z")):
        parts.upsert([late])
    assert (ids(store), lying(store)) == (set(), [])
    unknowing = Parts(store)  # that remembers no delete: what was written by then is below it all the same
    unknowing.upsert([row("2-a", revision=2)])
    assert ids(store) == set()


def test_a_post_that_is_written_after_its_delete_comes_back(store: CassandraStore) -> None:
    parts = Parts(store)
    parts.upsert([row("1-a", revision=3)])
    parts.remove(gone(global_id="1-a", time=TIME))
    parts.upsert([row("1-a", created_time="2026-07-04T13:00:00Z")])
    assert ids(store) == {"1-a"}
    assert read(store, "1-a")["revision"] == 1


def test_copies_forget_what_they_are_copies_of(store: CassandraStore) -> None:
    parts = Parts(store)
    copies = [row(f"copy{it}-a") | {"duplicate_of": "1-a"} for it in range(12)]
    parts.upsert([row("1-a"), *copies])
    parts.remove(gone(url="https://x/1-a.png"))
    parts.upsert([row("late-a") | {"duplicate_of": "1-a"}])
    parts.remove(gone(global_id="1-a"))
    parts.upsert([row("later-a") | {"duplicate_of": "1-a"}])
    found = store.table(POSTS).whole(["global_id", "duplicate_of"]).to_pylist()
    assert len(found) == 14
    assert {it["duplicate_of"] for it in found} == {None}


def test_hidden_accounts_come_back_in_whatever_order_the_news_come(store: CassandraStore) -> None:
    parts = Parts(store)
    parts.upsert(ROWS)
    parts.remove(gone(author="ann", source="a", hidden=True, time=TIME))
    assert ids(store) == {"it's-b", "5-b"}
    assert ids(store, HIDDEN) == ALL - {"it's-b", "5-b"}
    assert store.table(POSTS).count() == 2
    parts.upsert([row("9-a")])
    assert "9-a" in ids(store, HIDDEN)
    parts.remove(gone(author="ann", source="a", hidden=False, time=TIME.replace(hour=13)))
    parts.remove(gone(author="ann", source="a", hidden=True, time=TIME))
    assert ids(store) == {*ALL, "9-a"}


def test_small_pictures_go_with_their_last_post(store: CassandraStore) -> None:
    parts = Parts(store)
    one, two = post("1-a", picture_sha256="a" * 64), post("2-a", picture_sha256="a" * 64)
    parts.show(Thumbnail(one, b"webp", 3, 4))
    parts.upsert([row("1-a", picture_sha256="a" * 64), row("2-a", picture_sha256="a" * 64)])
    parts.remove(gone(global_id=one.global_id))
    (kept,) = store.table(THUMBNAILS.name).whole(["webp", "width", "height"]).to_pylist()
    assert kept == {"webp": b"webp", "width": 3, "height": 4}
    parts.remove(gone(global_id=two.global_id))
    assert store.table(THUMBNAILS.name).count() == 0
    parts.show(Thumbnail(one, b"webp"))  # after its delete
    assert store.table(THUMBNAILS.name).count() == 0
    parts.show(Thumbnail(post("3-a", picture_sha256="b" * 64), b"webp"))
    parts.all[0].obey(Order("compact", {}))
    assert store.table(THUMBNAILS.name).count() == 1  # its post is still on its way


def test_merges_and_splits_are_known_to_readers_and_rows_stay(store: CassandraStore) -> None:
    parts = Parts(store)
    parts.upsert([row("1-a", 1), row("2-a", 2), row("3-a", 3), row("4-a", -1)])
    parts.rename(ClusterEvent("merge", 2, 1), ClusterEvent("split", 1, 5, ("1-a",)))
    mark = parts.marks()
    assert current(store) == {"1-a": 5, "2-a": 1, "3-a": 3, "4-a": -1}
    parts.rename(ClusterEvent("merge", 3, 5))
    assert current(store) == {"1-a": 5, "2-a": 1, "3-a": 5, "4-a": -1}

    def of(*clusters: int) -> set[str]:
        where = [Condition("current_cluster", "in", list(clusters))]
        return set(store.table(POSTS).whole(["global_id"], where).column(0).to_pylist())

    assert (of(5), of(1), of(2), of(1, 5)) == ({"1-a", "3-a"}, {"2-a"}, set(), {"1-a", "2-a", "3-a"})
    Parts(store, mark)  # a crash: what was not in the snapshot is taken back
    assert current(store) == {"1-a": 5, "2-a": 1, "3-a": 3, "4-a": -1}


def test_clusters_are_as_the_last_event_says(store: CassandraStore) -> None:
    writer = store.written(CLUSTERS, None, 0, 30.0)
    for event in (ClusterEvent("birth", 1), ClusterEvent("split", 1, 2, ("x-a", "y-a")), ClusterEvent("merge", 1, 2)):
        writer.upsert([row_of_event(event)])
    later = store.written(CLUSTERS, writer.mark(), 0, 30.0)
    later.upsert([row_of_event(ClusterEvent("retire", 2))])
    found = {it["cluster"]: it for it in store.table(CLUSTERS.name).whole(CLUSTERS_COLUMNS).to_pylist()}
    assert [(it["state"], it["into"], it["moved"]) for _, it in sorted(found.items())] == [
        ("merged", 2, None),
        ("retired", None, None),
    ]
    (only,) = store.table(CLUSTERS.name).whole(["cluster"], [Condition("cluster", "=", 2)]).to_pylist()
    assert only == {"cluster": 2}


CLUSTERS_COLUMNS = [it.name for it in CLUSTERS.columns]


def test_the_nearest_are_found_by_the_index_and_filtered(store: CassandraStore) -> None:
    chance = np.random.default_rng(3)
    vectors = chance.normal(size=(60, 8)).astype(np.float32)
    Parts(store).upsert([row(f"{it}-a", it % 3) | {"embeddings": vectors[it]} for it in range(60)])
    table = store.table(POSTS)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = unit @ unit[7]
    found = table.nearest("embeddings", vectors[7], 5, ["cluster"])
    assert found[0]["global_id"] == "7-a"
    assert [it[COSINE] for it in found] == pytest.approx(sorted(cosines, reverse=True)[:5], abs=1e-3)
    near = table.nearest("embeddings", vectors[7], 5, [], [Condition("cluster", "=", 1)])
    wanted = sorted((it for it in range(60) if it % 3 == 1), key=lambda it: -cosines[it])[:5]
    assert [it["global_id"] for it in near] == [f"{it}-a" for it in wanted]
    with pytest.raises(UnsupportedError, match="finds the 1,000 nearest rows at most"):
        table.nearest("embeddings", vectors[7], 1001, [])
    with pytest.raises(UnsupportedError, match="cannot search words"):
        table.words(["text_clean"])


def test_a_vector_that_no_index_takes_is_null(store: CassandraStore) -> None:
    broken = [np.zeros(8, np.float32), np.full(8, np.nan, np.float32), np.ones(7, np.float32)]
    Parts(store).upsert([row(f"{it}-a") | {"embeddings": vector} for it, vector in enumerate(broken)])
    assert store.table(POSTS).whole(["embeddings"]).column(0).to_pylist() == [None] * 3


def test_hostile_values_change_nothing_else(store: CassandraStore) -> None:
    hostile = "'; DROP TABLE posts; -- \x00\x1b[2J\u202e" + "x" * 70_000
    rows = [row("1-a", author=hostile, description=hostile, source=hostile, url="h" * 100_000, created_time=hostile)]
    rows += [row("2-a", created_time="9999-12-31T00:00:00Z"), row("3-a", created_time="0001-01-01T00:00:00Z")]
    parts = Parts(store)
    parts.upsert(rows)
    assert read(store, "1-a")["author"] == hostile
    parts.remove(gone(author=hostile, source=hostile))
    assert ids(store) == {"2-a", "3-a"}


def test_followers_see_what_changed(store: CassandraStore) -> None:
    parts = Parts(store)
    parts.upsert([row("1-a"), row("2-a")])
    table, seen = store.table(POSTS), Seen()
    first = {it["global_id"]: it[PLACE] for batch in table.since(seen, ["author"]) for it in batch.to_pylist()}
    assert first.keys() == {"1-a", "2-a"}
    before = table.refresh()
    assert list(table.since(seen, ["author"])) == []
    parts.upsert([row("1-a", revision=2), row("3-a")])
    assert table.refresh() != before
    second = {it["global_id"]: it[PLACE] for batch in table.since(seen, ["author"]) for it in batch.to_pylist()}
    assert second["2-a"] == first["2-a"]
    assert second["1-a"] != first["1-a"]
    assert table.count() == 3
    parts.remove(gone(global_id="3-a"))
    assert table.count() == 2
    assert {it[PLACE] for it in table.rows(["1-a"], [PLACE]).to_pylist()} == {second["1-a"]}


def test_own_columns_are_typed_and_stay(store: CassandraStore) -> None:
    own = Column("year made", Integer(), "", is_own=True)
    wide = replace(TABLE, columns=(*TABLE.columns, own))
    for part in range(2):  # a later writer that does not name it keeps it too
        writers = [store.written(wide if part == 0 else TABLE, None, it, 30.0) for it in range(8)]
        for writer in writers:
            writer.upsert(
                [row(f"{part}-a", extra={"year made": 2020 + part, "b": 1}), row("c-a", extra={"year made": "?"})]
            )
    found = store.table(POSTS).whole(["global_id", "year made", "extra"]).to_pylist()
    assert {(it["global_id"], it["year made"]) for it in found} == {("0-a", 2020), ("1-a", 2021), ("c-a", None)}
    store.session.define('ALTER TABLE posts DROP "year made"')


def test_retention_is_counted_from_when_a_post_was_read(cassandra_node: CassandraNode, tmp_path: Path) -> None:
    from datetime import UTC, datetime, timedelta

    store = made_store(cassandra_node, tmp_path, store_retention_days=10)
    now = datetime.now(UTC)
    old, new = now - timedelta(days=11), now - timedelta(days=9)
    Parts(store).upsert([row("old-a", ingestion_time=old), row("new-a", ingestion_time=new)])
    assert ids(store) == {"new-a"}
    (left,) = store.session.rows("SELECT TTL(revision) AS left FROM posts WHERE global_id = ?", ("new-a",))
    assert 0 < left.left <= 86_400


def test_a_keyspace_without_tables_is_one_line_with_the_command(cassandra_node: CassandraNode, tmp_path: Path) -> None:
    address = cassandra_node.address()
    store = CassandraStore(CassandraPlace.of(address), CassandraSettings(), tmp_path)
    with pytest.raises(
        WorldError, match=rf"holds no tables of memewax: make them with `memewax store create '{address}'`"
    ):
        store.check()
    with pytest.raises(WorldError, match="holds no tables of memewax"):
        store.written(TABLE, None, 0, 30.0)


def test_vectors_of_other_models_are_refused(store: CassandraStore) -> None:
    with pytest.raises(WorldError, match="embeddings of 8 numbers and the model makes 16"):
        store.written(posts_table(16, 8), None, 0, 30.0)

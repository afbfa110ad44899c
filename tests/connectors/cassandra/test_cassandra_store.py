"""Posts in Cassandra: once each, right in any order, gone when they are taken back; on the real server."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from connectors.cassandra.cassandra_place import CassandraPlace, CassandraSettings
from connectors.cassandra.cassandra_reader import CassandraTable
from connectors.cassandra.cassandra_store import CassandraStore
from connectors.cassandra.keyspace_maintenance import facts_of_keyspace, forget_in_keyspace, in_keyspace
from connectors.remnants import LookedFor
from connectors.sinks.record_table import HIDDEN, POSTS, THUMBNAILS, posts_table
from connectors.sinks.sink import TableCommand
from connectors.store.cluster_ids import highest_deleted
from connectors.store.interface import COSINE, Condition, UnsupportedError
from core.errors import WorldError
from core.records import ClusterEvent, Thumbnail
from tests.cassandra_node import CassandraNode
from tests.connectors.cassandra.stores import ROWS, TABLE, TIME, current, ids, lying, made_store, parts, row
from tests.connectors.store.test_removed_posts import ALL
from tests.factories import make_removal, post


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
    parts(store).upsert([written])
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
    writers = parts(store)
    for _ in range(3):
        for it in chance.choices(revisions, k=5):
            writers.upsert([it])
        writers.upsert([revisions[2]])
        writers.upsert([revisions[0]])
        assert (read(store, "1-a")["revision"], current(store)) == (3, {"1-a": 3})
        # Of the older ones nothing is left in any table.
        assert [key for _, key in store.table(POSTS).posts_of(3)] == ["1-a"]  # type: ignore[attr-defined]
        assert [name for name, _ in lying(store)].count("posts_by_cluster") == 1
        assert [name for name, _ in lying(store)].count("posts_by_name") == 2  # its URL and its author


REMOVALS = [
    (make_removal(global_id="2_1-a"), {"2_1-a"}),
    (make_removal(global_id="2-a"), set()),
    (make_removal(global_id="2-a", post_id="2-a"), {"2_1-a", "2_2-a"}),
    (make_removal(url="https://x/it's-b.png"), {"it's-b"}),
    (make_removal(author="ann", source="a", time=TIME), {"1-a", "2_1-a", "2_2-a"}),
    (make_removal(author="ann", source="b"), {"5-b"}),
    (make_removal(global_id="new-a", time=TIME), set()),
]


def test_a_removal_takes_what_it_names_before_and_after_it_came(store: CassandraStore) -> None:
    for number, (removal, expected) in enumerate(REMOVALS):
        forget_deletes(store)
        writers = parts(store)
        rows = [it | {"revision": number + 1} for it in ROWS]  # what was deleted is another post by then
        writers.upsert(rows)
        assert ids(store) == ALL
        writers.remove([removal])
        assert ids(store) == ALL - expected
        assert {key for _, key in lying(store)} == ALL - expected
        again = parts(store, writers.mark())  # after a restart
        again.upsert(rows)
        again.remove([removal])
        assert ids(store) == ALL - expected


def forget_deletes(store: CassandraStore) -> None:
    """As if they had been longer ago than they are remembered."""
    store.session.define("TRUNCATE removals_by_day")


def test_what_is_deleted_stays_deleted_whatever_comes_late(store: CassandraStore) -> None:
    writers = parts(store)
    writers.remove([make_removal(global_id="1-a")])
    writers.upsert([row("1-a")])
    assert ids(store) == set()
    writers.upsert([row("2-a", revision=2)])
    writers.remove([make_removal(global_id="2-a")])
    for late in (row("2-a", revision=1), row("2-a", revision=2), row("2-a", joined="2026-07-05T00:00:00Z")):
        writers.upsert([late])
    assert (ids(store), lying(store)) == (set(), [])
    forget_deletes(store)
    unknowing = parts(store)  # that remembers no delete: what was written by then is below it all the same
    unknowing.upsert([row("2-a", revision=2)])
    assert ids(store) == set()


def test_a_post_that_is_written_after_its_delete_comes_back(store: CassandraStore) -> None:
    writers = parts(store)
    writers.upsert([row("1-a", revision=3)])
    writers.remove([make_removal(global_id="1-a", time=TIME)])
    writers.upsert([row("1-a", created_time="2026-07-04T13:00:00Z")])
    assert ids(store) == {"1-a"}
    assert read(store, "1-a")["revision"] == 1


def test_copies_forget_what_they_are_copies_of(store: CassandraStore) -> None:
    writers = parts(store)
    copies = [row(f"copy{it}-a") | {"duplicate_of": "1-a"} for it in range(12)]
    writers.upsert([row("1-a"), *copies])
    writers.remove([make_removal(url="https://x/1-a.png")])
    writers.upsert([row("late-a") | {"duplicate_of": "1-a"}])
    writers.remove([make_removal(global_id="1-a")])
    writers.upsert([row("later-a") | {"duplicate_of": "1-a"}])
    found = store.table(POSTS).to_arrow(["global_id", "duplicate_of"]).to_pylist()
    assert len(found) == 14
    assert {it["duplicate_of"] for it in found} == {None}


def test_hidden_accounts_come_back_in_whatever_order_the_news_come(store: CassandraStore) -> None:
    writers = parts(store)
    writers.upsert(ROWS)
    writers.remove([make_removal(author="ann", source="a", hidden=True, time=TIME)])
    assert ids(store) == {"it's-b", "5-b"}
    assert ids(store, HIDDEN) == ALL - {"it's-b", "5-b"}
    assert store.table(POSTS).count() == 2
    writers.upsert([row("9-a")])
    assert "9-a" in ids(store, HIDDEN)
    writers.remove([make_removal(author="ann", source="a", hidden=False, time=TIME.replace(hour=13))])
    writers.remove([make_removal(author="ann", source="a", hidden=True, time=TIME)])
    assert ids(store) == {*ALL, "9-a"}


def test_small_images_go_with_their_last_post(store: CassandraStore) -> None:
    writers = parts(store)
    one, two = post("1-a", picture_sha256="a" * 64), post("2-a", picture_sha256="a" * 64)
    writers.write_thumbnails([Thumbnail(one, b"webp", 3, 4)])
    writers.upsert([row("1-a", picture_sha256="a" * 64), row("2-a", picture_sha256="a" * 64)])
    writers.remove([make_removal(global_id=one.global_id)])
    (kept,) = store.table(THUMBNAILS.name).to_arrow(["webp", "width", "height"]).to_pylist()
    assert kept == {"webp": b"webp", "width": 3, "height": 4}
    writers.remove([make_removal(global_id=two.global_id)])
    assert store.table(THUMBNAILS.name).count() == 0
    writers.write_thumbnails([Thumbnail(one, b"webp")])  # after its delete
    assert store.table(THUMBNAILS.name).count() == 0
    writers.write_thumbnails([Thumbnail(post("3-a", picture_sha256="b" * 64), b"webp")])
    writers.parts[0].execute(TableCommand("compact", {}))
    assert store.table(THUMBNAILS.name).count() == 1  # its post is still on its way


def test_a_small_image_stays_whose_other_post_is_still_on_its_way(store: CassandraStore) -> None:
    writers = parts(store)
    one, two = (post(it, picture_sha256="a" * 64) for it in ("1-a", "2-a"))
    writers.write_thumbnails([Thumbnail(one, b"webp")])
    writers.upsert([row("1-a", picture_sha256="a" * 64)])
    writers.write_thumbnails([Thumbnail(two, b"webp")])
    writers.remove([make_removal(global_id="1-a")])
    assert store.table(THUMBNAILS.name).count() == 1
    writers.upsert([row("2-a", picture_sha256="a" * 64)])
    writers.remove([make_removal(global_id="2-a")])
    assert store.table(THUMBNAILS.name).count() == 0


def test_a_small_image_that_one_part_dropped_is_written_again_by_another(store: CassandraStore) -> None:
    writers = parts(store)
    assert len(writers.parts) > 1
    posts = [post(f"{it}-a", picture_sha256="a" * 64) for it in range(20)]
    for it in posts:
        writers.write_thumbnails([Thumbnail(it, b"webp")])
        writers.upsert([row(it.global_id, picture_sha256="a" * 64)])
        assert store.table(THUMBNAILS.name).count() == 1
        writers.remove([make_removal(global_id=it.global_id)])
        assert store.table(THUMBNAILS.name).count() == 0


def test_merges_and_splits_are_known_to_readers_and_rows_stay(store: CassandraStore) -> None:
    writers = parts(store)
    writers.upsert([row("1-a", 1), row("2-a", 2), row("3-a", 3), row("4-a", -1)])
    writers.apply_events([ClusterEvent("merge", 2, 1), ClusterEvent("split", 1, 5, ("1-a",))])
    mark = writers.mark()
    assert current(store) == {"1-a": 5, "2-a": 1, "3-a": 3, "4-a": -1}
    writers.apply_events([ClusterEvent("merge", 3, 5)])
    assert current(store) == {"1-a": 5, "2-a": 1, "3-a": 5, "4-a": -1}

    def of(*clusters: int) -> set[str]:
        where = [Condition("current_cluster", "in", list(clusters))]
        return set(store.table(POSTS).to_arrow(["global_id"], where).column(0).to_pylist())

    assert (of(5), of(1), of(2), of(1, 5)) == ({"1-a", "3-a"}, {"2-a"}, set(), {"1-a", "2-a", "3-a"})
    after = parts(store, mark)
    assert current(store)["3-a"] == 5  # it was only opened
    after.mark()  # after a crash what was not in the snapshot is taken back
    assert current(store) == {"1-a": 5, "2-a": 1, "3-a": 3, "4-a": -1}


def test_the_nearest_are_found_by_the_index_and_filtered(store: CassandraStore) -> None:
    chance = np.random.default_rng(3)
    vectors = chance.normal(size=(60, 8)).astype(np.float32)
    parts(store).upsert([row(f"{it}-a", it % 3) | {"embeddings": vectors[it]} for it in range(60)])
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


def test_posts_of_a_day_and_source_and_of_a_cluster_come_newest_first(store: CassandraStore) -> None:
    times = {"1-a": "2026-07-03T23:59:59Z", "2-a": "2026-07-04T00:00:00Z", "3-a": "2026-07-04T12:30:00Z"}
    rows = [row(name, 7, created_time=it) for name, it in times.items()]
    parts(store).upsert(
        [*rows, row("4-b", 7, source="b", created_time=times["2-a"]), row("old-a", 7, created_time="2024-01-01")]
    )
    table = store.table(POSTS)
    assert isinstance(table, CassandraTable)
    assert [name for _, name in table.posts_on(TIME.date(), "a")] == ["3-a", "2-a"]
    assert [name for _, name in table.posts_on(TIME.date(), "b")] == ["4-b"]
    assert [name for _, name in table.posts_of(7)] == ["3-a", "2-a", "4-b", "1-a", "old-a"]


def test_a_vector_that_no_index_takes_is_null(store: CassandraStore) -> None:
    broken = [np.zeros(8, np.float32), np.full(8, np.nan, np.float32), np.ones(7, np.float32)]
    parts(store).upsert([row(f"{it}-a") | {"embeddings": vector} for it, vector in enumerate(broken)])
    assert store.table(POSTS).to_arrow(["embeddings"]).column(0).to_pylist() == [None] * 3


def test_hostile_values_change_nothing_else(store: CassandraStore) -> None:
    hostile = "'; DROP TABLE posts; -- \x00\x1b[2J\u202e" + "x" * 70_000
    rows = [row("1-a", author=hostile, description=hostile, source=hostile, url="h" * 100_000, created_time=hostile)]
    rows += [row("2-a", created_time="9999-12-31T00:00:00Z"), row("3-a", created_time="0001-01-01T00:00:00Z")]
    writers = parts(store)
    writers.upsert(rows)
    assert read(store, "1-a")["author"] == hostile
    writers.remove([make_removal(author=hostile, source=hostile)])
    assert ids(store) == {"2-a", "3-a"}


def test_retention_is_counted_from_when_a_post_was_read(cassandra_node: CassandraNode, tmp_path: Path) -> None:
    from datetime import UTC, datetime, timedelta

    store = made_store(cassandra_node, tmp_path, store_retention_days=10)
    now = datetime.now(UTC)
    old, new = now - timedelta(days=11), now - timedelta(days=9)
    parts(store).upsert([row("old-a", ingestion_time=old), row("new-a", ingestion_time=new)])
    assert ids(store) == {"new-a"}
    (left,) = store.session.rows("SELECT TTL(revision) AS left FROM posts WHERE global_id = ?", ("new-a",))
    assert 0 < left.left <= 86_400


def test_a_keyspace_without_tables_is_one_line_with_the_command(cassandra_node: CassandraNode, tmp_path: Path) -> None:
    address = cassandra_node.address()
    store = CassandraStore(CassandraPlace.of(address), CassandraSettings(), tmp_path)
    with pytest.raises(
        WorldError, match=rf"holds no tables of memewax: create them with `memewax store create '{address}'`"
    ):
        store.check()
    with pytest.raises(WorldError, match="holds no tables of memewax"):
        store.open_for_writing(TABLE, None, 0, 30.0)


def test_vectors_of_other_models_are_refused(store: CassandraStore) -> None:
    with pytest.raises(WorldError, match="embeddings of 8 numbers and the model makes 16"):
        store.open_for_writing(posts_table(16, 8), None, 0, 30.0)


def test_what_is_forgotten_is_in_no_row_and_the_files_of_nodes_are_named(store: CassandraStore, tmp_path: Path) -> None:
    parts(store).upsert([row("1234567-a", description="a caption"), row("7654321-a") | {"duplicate_of": "1234567-a"}])
    names = LookedFor(("1234567-a", "a caption"))
    assert {it.place for it in in_keyspace(store.session, names)} == {
        "table changes_by_hour", "table posts", "table posts_by_cluster", "table posts_by_hour", "table posts_by_name"
    }  # fmt: skip
    assert forget_in_keyspace(store.session, tmp_path, [make_removal(global_id="1234567-a")]) == "1 rows deleted"
    assert forget_in_keyspace(store.session, tmp_path, [make_removal(global_id="1234567-a")]) == "0 rows deleted"
    told, left = in_keyspace(store.session, names)
    assert (told.place, told.until) == ("table changes_by_hour", "3 hours after the change")
    assert left.until.startswith("until compaction, 864,000 s after that")
    assert (ids(store), highest_deleted(tmp_path)) == ({"7654321-a"}, 0)
    facts = {it.table: (it.rows, it.unused) for it in facts_of_keyspace(store.session)}
    assert facts == {
        "posts": (1, 0), "clusters": (0, 0), "thumbnails": (0, 0),
        "posts_by_cluster": (1, 0), "posts_by_hour": (1, 0), "posts_by_name": (2, 0),
    }  # fmt: skip

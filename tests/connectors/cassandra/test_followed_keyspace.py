"""Whoever follows a keyspace reads what was changed and no more, and comes to the same as who reads all of it."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest

from connectors.cassandra import cassandra_changes, cassandra_reader
from connectors.cassandra.cassandra_session import CassandraSession
from connectors.cassandra.cassandra_store import CassandraStore
from connectors.cassandra.keyspace_maintenance import forget_in_keyspace
from connectors.cassandra.lookups import PARTS
from connectors.sinks.record_table import POSTS
from connectors.store.interface import ReadCursor
from core.errors import WorldError
from core.records import ClusterEvent
from search.corpus import Corpus
from search.followed_posts import FollowedPosts
from search.post_columns import PostColumns
from tests.cassandra_node import CassandraNode
from tests.connectors.cassandra.stores import ids, made_store, parts, row
from tests.connectors.store.dealt import Dealt
from tests.factories import make_removal


@pytest.fixture
def store(cassandra_node: CassandraNode, tmp_path: Path) -> Iterator[CassandraStore]:
    made = made_store(cassandra_node, tmp_path)
    yield made
    made.close()


def known(columns: PostColumns) -> dict[str, Any]:
    return {
        name: (int(columns.current[at]), int(columns.joined[at]), _name(columns, int(columns.original[at])))
        for name, at in columns.row_of.items()
    }


def _name(columns: PostColumns, original: int) -> str | None:
    return columns.originals.names[original] if original >= 0 else None


def brought_up_to_date(followed: FollowedPosts) -> dict[str, Any]:
    followed.step()
    followed.settle()
    return known(followed.columns)


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was read of all posts, or of all keys of posts."""
    found: list[str] = []
    rows = CassandraSession.rows

    def told(session: CassandraSession, cql: str, *given: Any, **named: Any) -> Iterator[Any]:
        if " WHERE " not in cql and cql.rpartition(" ")[2] in (POSTS, "posts_by_hour"):
            found.append(cql)
        return rows(session, cql, *given, **named)

    monkeypatch.setattr(CassandraSession, "rows", told)
    return found


@pytest.mark.parametrize("seed", range(2))
def test_steps_come_to_the_same_as_reading_all(
    store: CassandraStore, tmp_path: Path, scans: list[str], seed: int
) -> None:
    random, numbers, clusters = Random(seed), count(), count(10)
    writers: list[Dealt] = [parts(store)]
    there: list[str] = ["first-a"]
    writers[0].upsert([row(it) for it in (f"{number}-a" for number in range(100, 140))])
    writers[0].upsert([row("first-a")])
    followed = FollowedPosts(store)
    corpus = Corpus.open(store, "posts")
    brought_up_to_date(followed)
    scans.clear()

    def come() -> None:
        for _ in range(random.randint(1, 6)):
            there.append(f"{next(numbers)}-a")
            copied = random.choice([None, None, *there[:3]])
            made = row(there[-1], random.randrange(-1, 5), author=random.choice("xyz"))
            writers[0].upsert([made | {"duplicate_of": copied}])

    def edited() -> None:
        name = random.choice(there)
        writers[0].upsert([row(name, 3, 2, joined="2026-07-05T00:00:00.000+00:00")])

    def deleted() -> None:
        some = random.sample(there, min(3, len(there)))
        writers[0].remove([make_removal(global_id=it) for it in some])
        writers[0].upsert([row(it, 1, 3) for it in some])  # late

    def hidden() -> None:
        writers[0].remove([make_removal(author=random.choice("xyz"), source="a", hidden=random.random() < 0.5)])

    def moved() -> None:
        posts = tuple(random.sample(there, min(2, len(there))))
        event = random.choice([ClusterEvent("merge", 2, 0), ClusterEvent("split", 1, next(clusters), posts)])
        writers[0].apply_events([event])

    def forgotten() -> None:
        forget_in_keyspace(store.session, tmp_path, [make_removal(global_id=random.choice(there))])
        writers[0] = parts(store, writers[0].mark())

    for _ in range(12):
        random.choice([come, come, edited, deleted, hidden, moved, forgotten])()
        found = brought_up_to_date(followed)
        corpus.refresh()
        assert scans == []
        assert found == brought_up_to_date(FollowedPosts(store))
        assert corpus.ids() == found.keys() == ids(store)
        scans.clear()


def test_what_a_writer_that_is_killed_amid_a_delete_left_unsaid_is_told_later(
    store: CassandraStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    writers = parts(store)
    writers.upsert([row(f"{number}-a") for number in range(20)])
    followed = FollowedPosts(store)
    brought_up_to_date(followed)

    def killed(_: Any) -> None:
        raise WorldError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(cassandra_changes.PostChanges, "done", killed)
        for part in writers.parts:
            with pytest.raises(WorldError, match="killed"):
                part.remove([make_removal(global_id="7-a")])
    assert "7-a" not in ids(store)
    brought_up_to_date(followed)  # as the keyspace is, before it is told
    parts(store).remove([make_removal(global_id="7-a")])  # the next run does it again, and finds nothing to delete
    assert "7-a" not in brought_up_to_date(followed)
    assert len(followed.columns) == 19


def test_a_clock_that_was_put_back_hides_no_change(store: CassandraStore, monkeypatch: pytest.MonkeyPatch) -> None:
    parts(store).upsert([row("1-a")])
    followed = FollowedPosts(store)
    brought_up_to_date(followed)
    monkeypatch.setattr("connectors.cassandra.cassandra_facts.time.time_ns", lambda: 10**18)
    parts(store).upsert([row("2-a")])
    assert brought_up_to_date(followed).keys() == {"1-a", "2-a"}


def test_who_was_away_for_long_or_has_not_counted_for_long_reads_all(
    store: CassandraStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    writers = parts(store)
    writers.upsert([row(f"{number}-a") for number in range(30)])
    posts, seen = store.table(POSTS), ReadCursor()
    assert sum(map(len, posts.since(seen, []))) == 30
    writers.upsert([row("1-a", revision=2)])
    again = seen.copy()
    assert sum(map(len, posts.since(again, []))) == 1
    assert again.gone == frozenset()
    monkeypatch.setattr(cassandra_reader, "_COUNT_SECONDS", -1)
    writers.upsert([row("1-a", revision=3)])
    assert sum(map(len, posts.since(again, []))) == 1
    assert again.gone is None
    assert sum(map(len, posts.since(seen.copy(), []))) == 1
    (part,) = {it.part for it in store.session.rows("SELECT part, ids FROM changes_by_hour") if it.ids == ["1-a"]}
    store.session.define("TRUNCATE changes_by_hour")  # as if it were kept no longer
    writers.upsert([row("1-a", revision=4)])
    assert sum(map(len, posts.since(seen.copy(), []))) == 30
    assert sum(map(len, posts.since(again, []))) == 1
    assert part in range(PARTS)

"""Two flows that write one bucket or one keyspace: what one of them deletes, the other does not bring back."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.cassandra.cassandra_store import CassandraStore
from connectors.endpoints import open_store
from connectors.sinks.sink import TableCommand
from connectors.store.interface import Store
from connectors.store.shared_removals import SharedRemovals
from dataflows.all_settings import load_settings
from tests.connectors.store.dealt import Dealt
from tests.connectors.store.test_every_store import KINDS, rows_of
from tests.connectors.store.test_removed_posts import TIME, row
from tests.factories import POSTS, make_removal

Flow = Callable[..., Store]


@pytest.fixture(params=["s3", "cassandra"])
def flow(request: pytest.FixtureRequest, tmp_path: Path) -> Flow:
    address = KINDS[request.param].address(request)
    return lambda name, **settings: open_store(address, load_settings(**settings), tmp_path / name)


def written(store: Store, mark: Any = None) -> Dealt:
    return Dealt(store, POSTS, mark)


def ids(flow: Flow) -> set[str]:
    return set(rows_of(flow("reader")))


@pytest.mark.parametrize("is_compacted", [False, True])
def test_what_one_deletes_the_other_does_not_bring_back(flow: Flow, *, is_compacted: bool) -> None:
    one, two = written(flow("one")), written(flow("two"))
    one.upsert([row("1-a"), row("2-a", author="bob"), row("3-a", author="cy")])
    two.upsert([row("4-a", author="cy", revision=2)])
    one.remove(
        [make_removal(global_id="1-a"), make_removal(author="bob", source="a"), make_removal(url="https://x/9-a.png")]
    )
    if is_compacted:
        for writers in (one, two):
            writers.execute(TableCommand("compact", {}))
    two.upsert([row("1-a"), row("2-a", author="bob", revision=7), row("late-a", author="bob"), row("9-a")])
    two.upsert([row("1-a", revision=9), row("5-a", author="cy")])
    assert ids(flow) == {"3-a", "4-a", "5-a"}
    two.remove([make_removal(global_id="3-a")])
    one.upsert([row("3-a", revision=2, author="cy")])
    third = written(flow("three"))
    third.upsert([row("1-a", revision=10), row("3-a", revision=10), row("2-a", author="bob")])
    assert ids(flow) == {"4-a", "5-a"}
    again = written(flow("two"), two.mark())
    again.upsert([row("1-a", revision=11)])
    assert ids(flow) == {"4-a", "5-a"}


def test_a_post_that_was_written_after_its_delete_is_another_one(flow: Flow) -> None:
    one, two = written(flow("one")), written(flow("two"))
    two.upsert([row("1-a")])
    one.remove([make_removal(global_id="1-a", time=TIME)])
    two.upsert([row("1-a", created_time=(TIME - timedelta(days=1)).isoformat())])
    assert ids(flow) == set()
    two.upsert([row("1-a", revision=2, created_time=(TIME + timedelta(days=1)).isoformat())])
    assert ids(flow) == {"1-a"}


def test_a_delete_amid_the_write_of_another_wins(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = written(flow("one")), written(flow("two"))
    gone_of = SharedRemovals.gone
    deleted: list[str] = []

    def amid(removals: SharedRemovals, rows: Any) -> Any:
        """What the other does after this one has looked and before it writes."""
        found = gone_of(removals, rows)
        if not deleted:
            deleted.append("1-a")
            one.remove([make_removal(global_id="1-a")])
        return found

    monkeypatch.setattr(SharedRemovals, "gone", amid)
    two.upsert([row("1-a"), row("2-a")])
    assert deleted
    assert ids(flow) == {"2-a"}


def test_what_another_number_of_writers_wrote_is_deleted_too(flow: Flow) -> None:
    one, two = written(flow("one")), written(flow("two", store_writers=3))
    two.upsert([row(f"{number}-a") for number in range(9)])
    one.remove([make_removal(author="ann", source="a")])
    assert ids(flow) == set()
    two.upsert([row("5-a", revision=3)])
    assert ids(flow) == set()


def test_names_are_told_as_hashes(flow: Flow) -> None:
    one = written(flow("one"))
    one.remove([make_removal(global_id="a-name-of-a-post-a")])
    store = flow("reader")
    assert "removed" not in store.names()
    if isinstance(store, CassandraStore):
        told = [it._asdict() for it in store.session.rows("SELECT * FROM removals_by_day")]
    else:
        told = store.table("removed").to_arrow(["id", "said"]).to_pylist()
    assert told
    assert "a-name" not in repr(told)

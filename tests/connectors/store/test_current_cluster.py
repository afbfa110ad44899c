"""`current_cluster` is right as of now: before and after merges and splits, however often these are told."""

from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.run_identity import identity_of
from connectors.sinks.cluster_events import CLUSTERS, row_of_event
from connectors.sinks.rows import row_of
from connectors.store.cluster_ids import begin, highest
from connectors.store.lance_store import folder_store
from connectors.store.posts_table import TABLE, PostRows
from connectors.store.store_sink import StoreSink
from connectors.store.stored_table import StoredTable
from core.errors import WorldError
from core.records import Cluster, ClusterEvent, Record
from tests.factories import ANSWERS, POSTS, post, sides


def row(number: int, cluster: int) -> dict[str, Any]:
    made = post(f"it's {number}")
    return row_of(Record(made, sides(made.global_id, **{**ANSWERS, "cluster": Cluster(cluster, 0.1)})), "")


def current(folder: Path) -> dict[int, tuple[int, int]]:
    """Of each post, the cluster on arrival and as of now."""
    rows = lancedb.connect(folder).open_table(TABLE).to_arrow().to_pylist()
    assert len(rows) == len({it["global_id"] for it in rows})
    return {int(it["global_id"].split()[-1]): (it["cluster"], it["current_cluster"]) for it in rows}


def merge(cluster: int, into: int) -> ClusterEvent:
    return ClusterEvent("merge", cluster, into)


def split(cluster: int, into: int, *posts: int) -> ClusterEvent:
    return ClusterEvent("split", cluster, into, tuple(f"it's {number}" for number in posts))


def test_rows_follow_merges_and_so_do_those_that_come_later(tmp_path: Path) -> None:
    table = PostRows(tmp_path, POSTS)
    table.upsert([row(0, 0), row(1, 1), row(2, 2), row(3, -1)])
    table.apply_events([merge(2, 1), merge(1, 0)])
    table.upsert([row(4, 2)])  # decided before the merge
    assert current(tmp_path) == {0: (0, 0), 1: (1, 0), 2: (2, 0), 3: (-1, -1), 4: (2, 0)}


def test_posts_of_a_split_move_and_come_back_with_a_merge(tmp_path: Path) -> None:
    table = PostRows(tmp_path, POSTS)
    table.upsert([row(0, 0), row(1, 0), row(2, 1), row(3, 1)])
    table.apply_events([merge(1, 0), split(0, 7, 1, 2)])
    assert {it: now for it, (_, now) in current(tmp_path).items()} == {0: 0, 1: 7, 2: 7, 3: 0}
    table.upsert([row(2, 1), row(1, 9)])  # written again; seen again in another cluster
    assert {it: now for it, (_, now) in current(tmp_path).items()} == {0: 0, 1: 9, 2: 7, 3: 0}
    table.apply_events([merge(7, 0)])
    assert {it: now for it, (_, now) in current(tmp_path).items()} == {0: 0, 1: 9, 2: 0, 3: 0}
    table.upsert([row(2, 1)])
    assert current(tmp_path)[2] == (1, 0)


def test_what_was_not_snapshotted_is_taken_back_and_may_come_otherwise(tmp_path: Path) -> None:
    table = PostRows(tmp_path, POSTS)
    table.upsert([row(number, number) for number in range(5)])
    table.apply_events([merge(1, 0), split(0, 8, 1)])
    mark = table.mark()
    table.apply_events([merge(4, 3), split(3, 9, 4), merge(8, 0)])
    again = PostRows(tmp_path, POSTS, mark)
    assert {it: now for it, (_, now) in current(tmp_path).items()} == {0: 0, 1: 8, 2: 2, 3: 3, 4: 4}
    again.apply_events([merge(4, 2)])
    assert current(tmp_path)[4] == (4, 2)


def test_a_store_of_an_older_version_is_filled_even_where_that_was_cut_short(tmp_path: Path) -> None:
    PostRows(tmp_path, POSTS).upsert([row(number, number) for number in range(4)])
    events = [merge(3, 2), merge(2, 0)]
    StoredTable(tmp_path, CLUSTERS).upsert([row_of_event(event) for event in events])
    lancedb.connect(tmp_path).open_table(TABLE).drop_columns(["current_cluster"])
    StoredTable(tmp_path, POSTS)  # widened, and killed before it was filled
    old = PostRows(tmp_path, POSTS, {"version": 1})
    old.upsert([row(5, 3)])
    assert {it: now for it, (_, now) in current(tmp_path).items()} == {0: 0, 1: 1, 2: 0, 3: 0, 5: 0}


def test_what_another_run_merged_stays(tmp_path: Path) -> None:
    """Recovery folders take turns: each knows its own merges alone."""

    def opened(name: str, mark: Any) -> PostRows:
        begin(tmp_path, name, goes_on=mark is not None, accept=lambda _: None)
        return PostRows(tmp_path, POSTS, mark)

    first = opened("one", None)
    first.upsert([row(0, 0), row(1, 1)])
    first.apply_events([merge(1, 0)])
    second = opened("two", None)
    second.upsert([row(2, 2), row(3, 3)])
    second.apply_events([merge(3, 2)])
    opened("one", first.mark())
    opened("two", second.mark())
    assert {it: now for it, (_, now) in current(tmp_path).items()} == {0: 0, 1: 0, 2: 2, 3: 2}


STEPS = st.lists(
    st.tuples(st.sampled_from("wms"), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=12
)


@given(steps=STEPS, at=st.integers(0, 12))
@settings(max_examples=12, deadline=None)
def test_a_crash_anywhere_comes_to_the_same(
    steps: list[tuple[str, int, int, int]], at: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    def do(table: PostRows, number: int) -> None:
        kind, one, other, third = steps[number]
        if kind == "w":
            table.upsert([row(one, other)])
        elif kind == "m":
            table.apply_events([merge(max(one, other), min(one, other))])
        else:
            table.apply_events([split(one, 100 + number, other, third)])

    whole, cut = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("cut")
    table = PostRows(whole, POSTS)
    for number in range(len(steps)):
        do(table, number)
    table = PostRows(cut, POSTS)
    marks = []
    for number in range(len(steps)):
        marks.append(table.mark() if number else None)
        do(table, number)
    at = min(at, len(steps) - 1)
    table = PostRows(cut, POSTS, marks[at])
    for number in range(at, len(steps)):
        do(table, number)
    assert current(cut) == current(whole)


def test_a_run_begins_above_all_that_a_store_has_and_begins_there_again(tmp_path: Path) -> None:
    taken = lambda _: None  # noqa: E731
    store, recovery = tmp_path / "store", tmp_path / "recovery"
    recovery.mkdir()
    assert begin(store, identity_of(recovery), goes_on=False, accept=taken) == -1
    PostRows(store, POSTS).upsert([row(0, 0), row(1, 11)])
    StoredTable(store, CLUSTERS).upsert([row_of_event(ClusterEvent("birth", 12))])
    assert highest(store) == 12
    assert begin(store, identity_of(recovery), goes_on=False, accept=taken) == -1  # killed before a snapshot
    assert begin(store, "another", goes_on=False, accept=taken) == 12
    assert begin(store, "another", goes_on=True, accept=taken) == 12
    PostRows(store, POSTS).upsert([row(2, 13)])
    assert begin(store, identity_of(recovery), goes_on=True, accept=taken) == 13


def test_a_recovery_folder_of_an_older_version_goes_on_with_its_ids(tmp_path: Path) -> None:
    PostRows(tmp_path, POSTS).upsert([row(0, 5)])
    assert begin(tmp_path, "old", goes_on=True, accept=lambda _: None) == -1


def test_who_is_refused_leaves_nothing_behind(tmp_path: Path) -> None:
    def refuse(above: int) -> None:
        raise WorldError(f"not above {above}")

    PostRows(tmp_path, POSTS).upsert([row(0, 5)])
    with pytest.raises(WorldError, match="not above 5"):
        begin(tmp_path, "river", goes_on=False, accept=refuse)
    assert begin(tmp_path, "old", goes_on=True, accept=lambda _: None) == -1


def test_the_sink_s_snapshot_holds_what_became_of_clusters(tmp_path: Path) -> None:
    sink = StoreSink(folder_store(tmp_path), POSTS, "store", 30.0)
    writer = sink.open(*sink.parts(), None)
    writer.write([row(0, 0), merge(1, 0), row(1, 1)])
    mark = writer.snapshot()
    writer.close()
    again = sink.open(*sink.parts(), mark)
    again.write([row(2, 1)])
    again.snapshot()
    again.close()
    assert current(tmp_path) == {0: (0, 0), 1: (1, 0), 2: (1, 0)}
    assert np.all([now == 0 for _, now in current(tmp_path).values()])

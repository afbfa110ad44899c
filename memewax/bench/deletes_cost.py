"""Cost of deletes, in a large store and in the clusterer."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import numpy as np
import pyarrow as pa

from connectors.sinks.record_table import POSTS, posts_table
from connectors.store.posts_table import PostRows
from connectors.store.store_folder import opened
from core.records import Message, Removal, StageResult
from memewax.bench.grown_store import DIMENSION, made_rows, size_of
from models.clusterers.verified import VerifiedClusterer
from operators.cluster_logic import ClusterLogic

_POOL: Final = 2048
"""Number of distinct rows; they repeat with new ids."""
_AT_ONCE: Final = 16_384
"""Rows per write."""
_NAMES: Final = ("global_id", "post_id")
_TIME: Final = datetime(2026, 7, 4, tzinfo=UTC)
"""Time of the deletes. Streams give one, and the store then has to compare it with the time of each row."""
_MOST_LEARNED: Final = 5000
"""Maximum number of posts that the clusterer learns before the deletes."""


@dataclass(frozen=True, slots=True)
class DeletesCost:
    """Time that the deletes of one second take, and the disk space that deleted rows use and free."""

    posts: int
    deletes_per_second: int
    seconds: int
    store_ms: float
    """Mean time of the writer for the deletes of one second, which are one batch."""
    store_worst_ms: float
    cluster_ms: float
    """Mean time of the clusterer for the same batch."""
    snapshot_ms: float
    """Time that remembered deletes add to a snapshot of the store's writer and the clusterer."""
    flow_percent: float
    """Share of the flow's time for all of this, with a snapshot every ten seconds."""
    mb_before: float
    mb_deleted: float
    """Size after the last delete."""
    mb_erased: float
    """Size after a compaction that erases the deleted rows from the files."""
    erase_seconds: float


def measure(folder: Path, posts: int, rate: int, seconds: int, say: Callable[[str], object]) -> DeletesCost:
    """Fill a store in `folder`, delete `rate` posts per second, half of which exist, and erase them.

    Results are reported through `say` before the erasing, which takes longest.
    """
    table = PostRows(folder, posts_table(DIMENSION, DIMENSION))
    filled = _timed(lambda: _fill(folder, table, posts))
    compacted = _timed(table.compact)
    before = size_of(folder)[1]
    say(f"wrote {posts:,} posts, {before / 1e6:,.0f} MB, in {filled:.0f} s, and compacted them in {compacted:.0f} s")
    learned = min(posts, _MOST_LEARNED)
    say(f"the clusterer learns {learned:,} of them")
    logic = _learned(learned)
    empty = _timed(logic.snapshot) + _timed(table.mark)
    random = np.random.default_rng(3)
    order = random.permutation(posts)
    store, cluster = [], []
    for second in range(seconds):
        removals = _removals(order[second * rate : (second + 1) * rate].tolist(), posts)
        store.append(_timed(partial(table.remove, removals)))
        cluster.append(_timed(partial(logic.on_batch, [*removals])))
    snapshot = max(0.0, _timed(logic.snapshot) + _timed(table.mark) - empty)
    mean_store, mean_cluster = float(np.mean(store)), float(np.mean(cluster))
    deleted = size_of(folder)[1]
    say(
        f"{rate} deletes per second for {seconds} s took, per second, {mean_store * 1e3:.1f} ms in the store"
        f" (at most {max(store) * 1e3:.1f} ms) and {mean_cluster * 1e3:.1f} ms in the clusterer; erasing the rows"
    )
    erased = _timed(lambda: table.compact(erase=True))
    return DeletesCost(
        posts=posts,
        deletes_per_second=rate,
        seconds=seconds,
        store_ms=round(mean_store * 1e3, 1),
        store_worst_ms=round(max(store) * 1e3, 1),
        cluster_ms=round(mean_cluster * 1e3, 1),
        snapshot_ms=round(snapshot * 1e3, 1),
        flow_percent=round((mean_store + mean_cluster + snapshot / 10) * 100, 2),
        mb_before=round(before / 1e6, 1),
        mb_deleted=round(deleted / 1e6, 1),
        mb_erased=round(size_of(folder)[1] / 1e6, 1),
        erase_seconds=round(erased, 1),
    )


def _fill(folder: Path, table: PostRows, posts: int) -> None:
    """Write the first rows as a flow does, and the others as copies: an upsert of each would take longer and longer."""
    names = [_name(number) for number in range(posts)]
    pool = made_rows(min(posts, _POOL))
    as_flows_write = ({**row, "text_clean": row["text"]} for row in pool)
    table.upsert([{**row, **dict.fromkeys(_NAMES, name)} for row, name in zip(as_flows_write, names, strict=False)])
    added = opened(folder).open_table(POSTS)
    rows = added.to_arrow()
    copies = pa.concat_tables([rows] * max(1, _AT_ONCE // len(rows)))
    for start in range(len(rows), posts, len(copies)):
        ids = pa.array(names[start : start + len(copies)])
        batch = copies.slice(0, len(ids))
        for column in _NAMES:
            at = batch.schema.get_field_index(column)
            batch = batch.set_column(at, batch.schema.field(at), ids)
        added.add(batch)


def _learned(posts: int) -> ClusterLogic:
    logic = ClusterLogic(VerifiedClusterer())
    pool = made_rows(min(posts, _POOL))
    for number in range(posts):
        vector = pool[number % len(pool)]["embeddings"]
        result: StageResult[Any] = StageResult(_name(number), "embedding", vector, post_id=_name(number))
        logic.on_batch([result])
    return logic


def _removals(numbers: list[int], posts: int) -> list[Removal]:
    """Return deletes, every second one of a post that was never stored, as in a stream of all posts of a service."""
    names = [_name(number if place % 2 else number + posts) for place, number in enumerate(numbers)]
    return [Removal(Message(b"{}", "bench"), post_id=it, time=_TIME) for it in names]


def _name(number: int) -> str:
    return f"did:plc:z72i7hdynmk6r22z27h6tvur/{number:013d}-bluesky"


def _timed(call: Callable[[], Any]) -> float:
    """Call a function and return the seconds that it took."""
    start = perf_counter()
    call()
    return perf_counter() - start

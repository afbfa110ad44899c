"""What deletes cost a store of many posts, and a clusterer that forgets them."""

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
"""Different rows; after these the first comes again, under another id."""
_AT_ONCE: Final = 16_384
"""Rows in one write."""
_NAMES: Final = ("global_id", "post_id")
_TIME: Final = datetime(2026, 7, 4, tzinfo=UTC)
"""Of the deletes, as streams say it: so it has to be looked at when a row was written or edited."""
_MOST_LEARNED: Final = 5000
"""Posts that the clusterer learned before deletes come."""


@dataclass(frozen=True, slots=True)
class DeletesCost:
    """What the deletes of a second take, and what becomes of the room of rows that went."""

    posts: int
    deletes_per_second: int
    seconds: int
    store_ms: float
    """Of the writer's thread for the deletes of a second, on average; those of a second are taken together."""
    store_worst_ms: float
    cluster_ms: float
    """Of the clusterer for the same."""
    snapshot_ms: float
    """What the memory of deletes adds to a snapshot, of both."""
    flow_percent: float
    """Of a second, what all of that takes, with a snapshot every ten seconds."""
    mb_before: float
    mb_deleted: float
    """After the last delete."""
    mb_erased: float
    """After what was deleted was written out of the files."""
    erase_seconds: float


def measure(folder: Path, posts: int, rate: int, seconds: int, say: Callable[[str], object] = str) -> DeletesCost:
    """Fill a store below `folder`, delete `rate` posts a second of which half are there, and erase them.

    What was measured is said before they are erased, which takes longest.
    """
    table = PostRows(folder, posts_table(DIMENSION, DIMENSION))
    filled = _timed(lambda: _fill(folder, table, posts))
    together = _timed(table.compact)
    before = size_of(folder)[1]
    say(f"{posts:,} posts are there, {before / 1e6:,.0f} MB: {filled:.0f} s, and {together:.0f} s to put them together")
    learned = min(posts, _MOST_LEARNED)
    say(f"the clusterer learns {learned:,} of them")
    logic = _learned(learned)
    empty = _timed(logic.snapshot) + _timed(table.mark)
    chance = np.random.default_rng(3)
    order = chance.permutation(posts)
    store, cluster = [], []
    for second in range(seconds):
        those = _removals(order[second * rate : (second + 1) * rate].tolist(), posts)
        store.append(_timed(partial(table.remove, those)))
        cluster.append(_timed(partial(logic.on_batch, [*those])))
    snapshot = max(0.0, _timed(logic.snapshot) + _timed(table.mark) - empty)
    mean_store, mean_cluster = float(np.mean(store)), float(np.mean(cluster))
    deleted = size_of(folder)[1]
    say(
        f"{rate} deletes a second, {seconds} seconds of them: {mean_store * 1e3:.1f} ms of a second in the store,"
        f" {max(store) * 1e3:.1f} at most, {mean_cluster * 1e3:.1f} ms in the clusterer; what they deleted is erased"
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
    """The first rows as a flow writes them, the others as copies: to look for each key took longer and longer."""
    names = [_name(number) for number in range(posts)]
    pool = made_rows(min(posts, _POOL))
    as_flows_write = ({**row, "text_clean": row["text"]} for row in pool)
    table.upsert([{**row, **dict.fromkeys(_NAMES, name)} for row, name in zip(as_flows_write, names, strict=False)])
    added = opened(folder).open_table(POSTS)
    rows = added.to_arrow()
    copies = pa.concat_tables([rows] * max(1, _AT_ONCE // len(rows)))
    for start in range(len(rows), posts, len(copies)):
        ids = pa.array(names[start : start + len(copies)])
        some = copies.slice(0, len(ids))
        for column in _NAMES:
            at = some.schema.get_field_index(column)
            some = some.set_column(at, some.schema.field(at), ids)
        added.add(some)


def _learned(posts: int) -> ClusterLogic:
    logic = ClusterLogic(VerifiedClusterer())
    pool = made_rows(min(posts, _POOL))
    for number in range(posts):
        vector = pool[number % len(pool)]["embeddings"]
        side: StageResult[Any] = StageResult(_name(number), "embedding", vector, post_id=_name(number))
        logic.on_batch([side])
    return logic


def _removals(numbers: list[int], posts: int) -> list[Removal]:
    """Deletes of which every second one is of a post that was never taken, as in a stream of all posts."""
    names = [_name(number if place % 2 else number + posts) for place, number in enumerate(numbers)]
    return [Removal(Message(b"{}", "bench"), post_id=it, time=_TIME) for it in names]


def _name(number: int) -> str:
    return f"did:plc:z72i7hdynmk6r22z27h6tvur/{number:013d}-bluesky"


def _timed(does: Callable[[], Any]) -> float:
    start = perf_counter()
    does()
    return perf_counter() - start

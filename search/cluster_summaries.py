"""Clusters as a reader of the store sees them: old ids resolved, what is known of each counted from its posts."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from connectors.sinks.cluster_events import CLUSTERS
from connectors.sinks.record_table import POSTS
from connectors.store.cluster_ids import stored_merges
from connectors.store.interface import EVERY, Condition, StorePlace, Where
from connectors.store.lance_tables import tables_of
from connectors.store.store_folder import store_nearby
from core.errors import WorldError
from core.merges import Merges
from core.times import microseconds_of, time_at, time_or_none

_WORD: Final = re.compile(r"[^\W\d_]{3,}")
_WORDS: Final = 6
_SURPRISE: Final = 6.63
"""Log-likelihood ratio that chance exceeds for one word in a hundred: that two posts have "the" is no surprise."""
_EXEMPLARS: Final = 3
_LOOKED_AT: Final = 1000
"""Posts of a cluster among which its exemplars are looked for."""
_AHEAD: Final = timedelta(days=1)
"""By so much the clock of a post may be ahead of ours, its zone included."""
_MANY: Final = 20
"""Posts from which on it can be said which times stand alone."""
SUMMARISED: Final = (
    "global_id",
    "cluster",
    "current_cluster",
    "created_time",
    "joined_time",
    "text",
    "description",
    "duplicate_of",
)


@dataclass(frozen=True, slots=True)
class ClusterSummary:
    """A cluster by its posts."""

    cluster: int
    state: str
    """live or retired; unknown where the store is older than its table of clusters."""
    merged: tuple[int, ...]
    """Ids that lead here now."""
    size: int
    duplicates: int
    """Posts whose image is a copy of an earlier one."""
    first_seen: datetime
    last_seen: datetime
    recent: int
    """Posts in the last window of the store's time."""
    before: int
    """Posts in the window before that."""
    rate: float
    """Posts an hour in the last window."""
    trend: float
    """By how many standard deviations of chance the last window has more posts than the one before."""
    words: tuple[str, ...]
    """More frequent here than elsewhere, the most telling first."""


def merges_of(store: StorePlace) -> Merges:
    """The merges and splits that a store knows of; raises `WorldError` where there is no store."""
    check_store(store)
    return stored_merges(store)


def summaries(store: StorePlace, window: timedelta) -> list[ClusterSummary]:
    """All clusters that have posts, the largest first; raises `WorldError` where there is no store."""
    rows = store_rows(store, POSTS, EVERY, SUMMARISED)
    return summarised(rows, states_of(store), merges_of(store), window)


def states_of(store: StorePlace) -> dict[int, str]:
    """The state of each cluster that the table of clusters knows."""
    return {row["cluster"]: row["state"] for row in store_rows(store, CLUSTERS.name, EVERY, ["cluster", "state"])}


def current_cluster(row: Mapping[str, Any], merges: Merges) -> int:
    """The cluster that a row of posts is in as of now."""
    current: int | None = row["current_cluster"]  # of a store that no flow has opened since it is there: None
    return merges.current(row["global_id"], row["cluster"]) if current is None else current


def summarised(
    rows: Iterable[Mapping[str, Any]], known: Mapping[int, str], merges: Merges, window: timedelta
) -> list[ClusterSummary]:
    """The clusters of rows of posts, the largest first.

    Args:
        rows: With the columns `SUMMARISED`.
        known: The state of each cluster.
        merges: What became of clusters.
        window: What counts as recent.
    """
    members: dict[int, list[dict[str, Any]]] = defaultdict(list)
    everywhere: Counter[str] = Counter()
    for row in rows:
        if row["cluster"] >= 0:
            words = _words(row)
            everywhere.update(words)
            copy = row["duplicate_of"]
            members[current_cluster(row, merges)].append({"time": time_of(row), "words": words, "duplicate_of": copy})
    merged: dict[int, list[int]] = defaultdict(list)
    for cluster in known:
        if merges.resolve(cluster) != cluster:
            merged[merges.resolve(cluster)].append(cluster)
    times = [row["time"] for group in members.values() for row in group]
    latest = clock(times, window, datetime.now(UTC))
    found = [
        _summary(cluster, known.get(cluster, "unknown"), sorted(merged[cluster]), group, latest, window, everywhere)
        for cluster, group in members.items()
    ]
    return sorted(found, key=lambda it: (-it.size, it.cluster))


def clock(times: Collection[datetime], window: timedelta, now: datetime) -> datetime:
    """What time it is in a store: that of its newest post, those left aside whose time is plainly wrong.

    A time after `now` is wrong, with a day for clocks and zones, unless all are. So is one that is later than 99 of a
    hundred by more than these reach back from there to their median, and by more than two windows: a few such posts
    would empty the windows of all clusters. Without times it is `now`.
    """
    stamps = np.sort(np.array([microseconds_of(time) for time in times], np.int64))
    return time_at(latest_of(stamps, window // timedelta(microseconds=1), microseconds_of(now)))


def latest_of(times: NDArray[np.int64], window: int, now: int) -> int:
    """The same of sorted times, all in microseconds since 1970."""
    passed = times[: np.searchsorted(times, now + _AHEAD // timedelta(microseconds=1), side="right")]
    passed = passed if len(passed) else times
    if len(passed) < _MANY:
        return int(passed[-1]) if len(passed) else now
    late, middle = int(passed[(len(passed) - 1) * 99 // 100]), int(passed[len(passed) // 2])
    return int(passed[np.searchsorted(passed, late + max(late - middle, 2 * window), side="right") - 1])


def exemplars(store: StorePlace, clusters: Collection[int]) -> list[dict[str, Any]]:
    """The posts nearest the centre of clusters that are one, nearest first: `global_id`, `url`, `text`."""
    columns = ["global_id", "url", "text", "embeddings"]
    wanted = Condition("current_cluster" if is_current(store) else "cluster", "in", tuple(clusters))
    rows = [it for it in store_rows(store, POSTS, [wanted], columns, _LOOKED_AT) if it["embeddings"] is not None]
    if not rows:
        return []
    points = np.array([row["embeddings"] for row in rows])
    nearest = np.argsort(((points - points.mean(axis=0)) ** 2).sum(axis=1), kind="stable")[:_EXEMPLARS]
    return [{name: rows[place][name] for name in columns[:3]} for place in nearest]


def check_store(store: StorePlace) -> None:
    """Raise `WorldError` where there are no posts in what is named as a store."""
    tables = tables_of(store)
    if not tables.has(POSTS):
        raise WorldError(f"{tables} is no store: name what memewax wrote to with --store{store_nearby()}")


def is_current(store: StorePlace) -> bool:
    """Whether the rows of posts say in which cluster each is as of now: a flow of this version has opened the store."""
    check_store(store)
    posts = tables_of(store).table(POSTS)
    if "current_cluster" not in posts.schema.names:
        return False
    return not posts.whole(["current_cluster"], [Condition("current_cluster", "is null")], limit=1).num_rows


def _summary(
    cluster: int,
    state: str,
    merged: list[int],
    rows: list[dict[str, Any]],
    latest: datetime,
    window: timedelta,
    everywhere: Mapping[str, int],
) -> ClusterSummary:
    times = [row["time"] for row in rows]
    here = Counter(word for row in rows for word in row["words"])
    recent = sum(latest - window < time <= latest for time in times)
    before = sum(latest - 2 * window < time <= latest - window for time in times)
    return ClusterSummary(
        cluster=cluster,
        state=state,
        merged=tuple(merged),
        size=len(rows),
        duplicates=sum(row["duplicate_of"] is not None for row in rows),
        first_seen=min(times),
        last_seen=max(times),
        recent=recent,
        before=before,
        rate=recent / (window / timedelta(hours=1)),
        trend=trend_of(recent, before),
        words=telling(here, here.total(), everywhere, sum(everywhere.values())),
    )


def trend_of(recent: int, before: int) -> float:
    """By how many standard deviations of chance a window has more posts than the one before."""
    return (recent - before) / math.sqrt(recent + before) if recent + before else 0.0


def telling(here: Mapping[str, int], words_here: int, everywhere: Mapping[str, int], words: int) -> tuple[str, ...]:
    """Words by how much more of them is here than their share of all words would be, where that is no chance.

    References:
        Dunning: Accurate methods for the statistics of surprise and coincidence. Computational Linguistics 19 (1993).
    """
    share = words_here / max(1, words)
    scores = {word: 2 * count * math.log(count / (share * everywhere[word])) for word, count in here.items()}
    best = sorted((word for word in scores if scores[word] > _SURPRISE), key=lambda word: (-scores[word], word))
    return tuple(word for word in best if here[word] > 1)[:_WORDS]


def _words(row: Mapping[str, Any]) -> set[str]:
    return set(_WORD.findall(f"{row['text'] or ''} {row['description'] or ''}".lower()))


def time_of(row: Mapping[str, Any]) -> datetime:
    """When it was posted, or where the post does not say so readably, when it was joined."""
    known = time_or_none(row["created_time"]) or time_or_none(row["joined_time"])
    return known or datetime.fromtimestamp(0, UTC)


def store_rows(
    store: StorePlace, table: str, where: Where, columns: Sequence[str], limit: int | None = None
) -> list[dict[str, Any]]:
    """Some columns of a table, those that an older store does not have as None."""
    check_store(store)
    tables = tables_of(store)
    if not tables.has(table):
        return []
    found = tables.table(table).whole(columns, where, limit=limit)
    return [dict.fromkeys(columns) | row for row in found.to_pylist()]

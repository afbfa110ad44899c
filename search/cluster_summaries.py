"""Summaries of clusters for readers of a store: merged ids are resolved, figures are computed from the posts."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
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
"""Log-likelihood ratio for p = 0.01 (chi-squared, 1 degree of freedom): that two posts share "the" means nothing."""
_EXEMPLARS: Final = 3
_LOOKED_AT: Final = 1000
"""Most posts of a cluster among which exemplars are chosen."""
_AHEAD: Final = timedelta(days=1)
"""Tolerance for a post's clock that is ahead of ours, its time zone included."""
_MANY: Final = 20
"""Fewest posts for which outliers among their times are detected."""
_SUMMARISED: Final = (
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
    """Summary of a cluster, computed from its posts."""

    cluster: int
    state: str
    """`live`, `retired`, or `unknown` if the store is older than its table of clusters."""
    merged: tuple[int, ...]
    """Ids of clusters that were merged into this one."""
    size: int
    """Number of posts."""
    duplicates: int
    """Posts whose image is a copy of an earlier one."""
    first_seen: datetime
    last_seen: datetime
    recent: int
    """Posts in the last window; see `clock` for its end."""
    before: int
    """Posts in the window before that."""
    rate: float
    """Posts per hour in the last window."""
    trend: float
    """Increase from the window before to the last, in standard deviations; see `trend_of`."""
    words: tuple[str, ...]
    """Keywords: more frequent here than elsewhere, the most significant first."""


def merges_of(store: StorePlace) -> Merges:
    """Read the merges and splits of a store; raise `WorldError` if there is no store."""
    check_store(store)
    return stored_merges(store)


def summaries(store: StorePlace, window: timedelta) -> list[ClusterSummary]:
    """Summarise all clusters that have posts, largest first; raise `WorldError` if there is no store."""
    return _summarised(store, window, None)


def summary_of(store: StorePlace, cluster: int, window: timedelta) -> ClusterSummary | None:
    """Summarise one cluster by its id, or by an id that was merged into it; None if it has no posts.

    All posts are read nevertheless: the keywords are those that are rarer elsewhere.
    """
    return next(iter(_summarised(store, window, cluster)), None)


def states_of(store: StorePlace) -> dict[int, str]:
    """Read the state of each cluster from the table of clusters."""
    return {row["cluster"]: row["state"] for row in store_rows(store, CLUSTERS.name, EVERY, ["cluster", "state"])}


def current_cluster(row: Mapping[str, Any], merges: Merges) -> int:
    """Return the current cluster of a row of posts."""
    current: int | None = row["current_cluster"]  # None if no flow has opened the store since this column exists
    return merges.current(row["global_id"], row["cluster"]) if current is None else current


def _summarised(store: StorePlace, window: timedelta, only: int | None) -> list[ClusterSummary]:
    """Summarise all clusters, or only one, largest first."""
    rows, known, merges = store_rows(store, POSTS, EVERY, _SUMMARISED), states_of(store), merges_of(store)
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
        if only is None or cluster == merges.resolve(only)
    ]
    return sorted(found, key=lambda it: (-it.size, it.cluster))


def clock(times: Collection[datetime], window: timedelta, now: datetime) -> datetime:
    """Return the current time of a store: that of its newest post whose time is plausible; `now` if there are no posts.

    Without this, a few posts with wrong times would empty the windows of all clusters. A time is wrong if it is more
    than a day after `now` (a tolerance for clocks and time zones), unless all are. It is also wrong if it exceeds the
    99th percentile by more than both the distance from median to 99th percentile and two windows.
    """
    stamps = np.sort(np.array([microseconds_of(time) for time in times], np.int64))
    return time_at(latest_of(stamps, window // timedelta(microseconds=1), microseconds_of(now)))


def latest_of(times: NDArray[np.int64], window: int, now: int) -> int:
    """Return the current time of a store, as `clock` defines it, from sorted times.

    All values are in microseconds; times count from 1970.
    """
    passed = times[: np.searchsorted(times, now + _AHEAD // timedelta(microseconds=1), side="right")]
    passed = passed if len(passed) else times
    if len(passed) < _MANY:
        return int(passed[-1]) if len(passed) else now
    late, middle = int(passed[(len(passed) - 1) * 99 // 100]), int(passed[len(passed) // 2])
    return int(passed[np.searchsorted(passed, late + max(late - middle, 2 * window), side="right") - 1])


def exemplars(store: StorePlace, clusters: Collection[int]) -> list[dict[str, Any]]:
    """Return the posts nearest the centroid of a cluster, nearest first: `global_id`, `url`, `text`.

    Args:
        store: The store.
        clusters: The cluster's id and the ids that were merged into it.
    """
    columns = ["global_id", "url", "text", "embeddings"]
    wanted = Condition("current_cluster" if is_current(store) else "cluster", "in", tuple(clusters))
    rows = [it for it in store_rows(store, POSTS, [wanted], columns, _LOOKED_AT) if it["embeddings"] is not None]
    if not rows:
        return []
    points = np.array([row["embeddings"] for row in rows])
    nearest = np.argsort(((points - points.mean(axis=0)) ** 2).sum(axis=1), kind="stable")[:_EXEMPLARS]
    return [{name: rows[place][name] for name in columns[:3]} for place in nearest]


def check_store(store: StorePlace) -> None:
    """Raise `WorldError` if a store has no table of posts."""
    tables = tables_of(store)
    if not tables.has(POSTS):
        raise WorldError(f"{tables} is not a store: name one that memewax has written, with --store{store_nearby()}")


def is_current(store: StorePlace) -> bool:
    """Check whether every row of posts has its current cluster: a flow of this version has opened the store."""
    check_store(store)
    posts = tables_of(store).table(POSTS)
    if "current_cluster" not in posts.schema.names:
        return False
    return not posts.to_arrow(["current_cluster"], [Condition("current_cluster", "is null")], limit=1).num_rows


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
        words=keywords(here, here.total(), everywhere, sum(everywhere.values())),
    )


def trend_of(recent: int, before: int) -> float:
    """Return the increase from one window to the next in standard deviations, `(recent - before) / sqrt(both)`.

    If both windows have the same Poisson rate, the variance of their difference is about `recent + before`.
    """
    return (recent - before) / math.sqrt(recent + before) if recent + before else 0.0


def keywords(here: Mapping[str, int], words_here: int, everywhere: Mapping[str, int], words: int) -> tuple[str, ...]:
    """Return the keywords of a cluster: words that are significantly more frequent here than everywhere (G-test).

    Args:
        here: Posts of the cluster that contain each word.
        words_here: Sum of all such counts of the cluster.
        everywhere: The same counts for all posts.
        words: Sum of these.

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
    """Return the time of posting, or if it cannot be parsed, the time at which the post was joined."""
    known = time_or_none(row["created_time"]) or time_or_none(row["joined_time"])
    return known or datetime.fromtimestamp(0, UTC)


def store_rows(
    store: StorePlace, table: str, where: Where, columns: Sequence[str], limit: int | None = None
) -> list[dict[str, Any]]:
    """Read columns of a table as rows; columns that an older store lacks are None."""
    check_store(store)
    tables = tables_of(store)
    if not tables.has(table):
        return []
    found = tables.table(table).to_arrow(columns, where, limit=limit)
    return [dict.fromkeys(columns) | row for row in found.to_pylist()]

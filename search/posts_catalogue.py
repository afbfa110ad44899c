"""A snapshot of a store's posts: lists, filters and clusters, computed on columns; elements are made on access."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from core.merges import Merges
from core.times import microseconds_of, time_at
from search.cluster_groups import Groups
from search.cluster_summaries import ClusterSummary, trend_of
from search.lazy_list import LazyList
from search.post_columns import UNSETTLED, PostColumns
from search.store_posts import PostLine
from search.vector_index import Mask, RowNumbers

ClusterOrder = Literal["size", "new", "rising", "rate"]

_BINS: Final = 24
"""Bins of a sparkline."""
_ASIDE: Final = 200
"""One post in this many is trimmed at either end of the time span."""


class PostLines(LazyList[PostLine]):
    """A lazy list of posts of a catalogue."""

    def __init__(self, catalogue: "Catalogue", rows: RowNumbers) -> None:
        super().__init__(rows)
        self._catalogue = catalogue

    @property
    def ids(self) -> list[str]:
        """Return the `global_id` of each post."""
        return self._catalogue.ids_at(self.numbers)

    def _made(self, number: int) -> PostLine:
        return self._catalogue.line(number)

    def _some(self, numbers: RowNumbers) -> "PostLines":
        return PostLines(self._catalogue, numbers)


class PostClusters(LazyList["ClusterOfPosts"]):
    """A lazy list of clusters of a catalogue."""

    def __init__(self, catalogue: "Catalogue", groups: RowNumbers) -> None:
        super().__init__(groups)
        self._catalogue = catalogue

    def _made(self, number: int) -> "ClusterOfPosts":
        return self._catalogue.cluster_at(number)

    def _some(self, numbers: RowNumbers) -> "PostClusters":
        return PostClusters(self._catalogue, numbers)


class ClusterOfPosts:
    """A cluster with its posts."""

    def __init__(self, catalogue: "Catalogue", group: int) -> None:
        self._catalogue = catalogue
        self._group = group

    @property
    def id(self) -> int:
        """Return the current id of the cluster."""
        return int(self._catalogue.groups.ids[self._group])

    @cached_property
    def summary(self) -> ClusterSummary:
        """Summarise the cluster."""
        return self._catalogue.summary(self._group)

    @property
    def posts(self) -> PostLines:
        """Return the posts, oldest first."""
        return PostLines(self._catalogue, self._rows)

    @cached_property
    def sources(self) -> list[tuple[str, int]]:
        """Count the posts by source, the most frequent first."""
        return self._catalogue.sources_of(self._rows)

    @cached_property
    def sparkline(self) -> list[int]:
        """Count the posts in equal bins of the catalogue's `span`."""
        return self.counts(*self._catalogue.span)

    @property
    def is_sensitive(self) -> bool:
        """Check whether any of its posts is sensitive."""
        return bool(self._catalogue.groups.sensitive[self._group])

    @property
    def is_rising(self) -> bool:
        """Check whether it has more posts in the last window than in the one before; one new post is not a trend."""
        return bool(self._catalogue.groups.rising[self._group])

    def first_own(self, most: int) -> list[str]:
        """Return the ids of its first posts that are not copies, or of its first posts if all are."""
        return self._catalogue.first_own(self._rows, most)

    def counts(self, begin: datetime, end: datetime, bins: int = _BINS) -> list[int]:
        """Count the posts in equal bins of a time span of at least a second per bin; others are left out."""
        times = self._catalogue.times[self._rows]
        first, last = microseconds_of(begin), microseconds_of(end)
        width = max(10**6, (last - first) / bins)
        within = times[(times >= first) & (times <= last)]
        places = np.minimum(bins - 1, ((within - first) / width).astype(np.int64))
        return [int(it) for it in np.bincount(places, minlength=bins)]

    @property
    def _rows(self) -> RowNumbers:
        groups = self._catalogue.groups
        start = groups.starts[self._group]
        return groups.rows[start : start + groups.sizes[self._group]]


class _ById(Mapping[str, PostLine]):
    def __init__(self, catalogue: "Catalogue") -> None:
        self._catalogue = catalogue

    def __getitem__(self, global_id: str) -> PostLine:
        row = self._catalogue.row_of(global_id)
        if row is None:
            raise KeyError(global_id)
        return self._catalogue.line(row)

    def __len__(self) -> int:
        return len(self._catalogue.posts)

    def __iter__(self) -> Iterator[str]:
        return (it.global_id for it in self._catalogue.posts)


class Catalogue:
    """A snapshot of a store's posts, which does not change while the columns are updated.

    Args:
        columns: Columns of the posts; None for an empty catalogue.
        merges: Merges and splits of clusters.
        states: Known states of clusters.
        window: Length of the recent window.
    """

    def __init__(
        self,
        columns: PostColumns | None = None,
        merges: Merges | None = None,
        states: Mapping[int, str] | None = None,
        window: timedelta = timedelta(days=1),
    ) -> None:
        self._columns = columns = columns or PostColumns()
        self.merges = merges or Merges()
        self._states = states or {}
        self._window = window
        self._clusters: dict[int, ClusterOfPosts] = {}
        self._height = columns.height
        self.times = columns.time[: self._height].copy()
        self._live = columns.live[: self._height].copy()
        self._sensitive = columns.sensitive[: self._height].copy()
        self._copies = columns.original[: self._height] >= 0
        self.clusters_of_posts = self._settled()
        rows = np.flatnonzero(self._live)
        self._order: RowNumbers = rows[np.argsort(self.times[rows], kind="stable")][::-1]
        """Row numbers of all posts, newest first."""
        grouped = rows[self.clusters_of_posts[rows] >= 0]
        self.groups = Groups(
            grouped,
            self.clusters_of_posts[grouped],
            self.times[grouped],
            self._copies[grouped],
            self._sensitive[grouped],
            window // timedelta(microseconds=1),
        )
        many = np.flatnonzero(self.groups.sizes > 1)
        self._by_size: RowNumbers = many[np.lexsort((self.groups.ids[many], -self.groups.sizes[many]))]

    @property
    def posts(self) -> PostLines:
        """Return all posts, newest first."""
        return PostLines(self, self._order)

    @property
    def clusters(self) -> PostClusters:
        """Return the clusters of at least two posts, largest first."""
        return PostClusters(self, self._by_size)

    @cached_property
    def singletons(self) -> PostLines:
        """Return the posts that are the only one of their cluster, newest first."""
        return PostLines(self, self._order[self._is_singleton[self._order]])

    @property
    def by_id(self) -> Mapping[str, PostLine]:
        """Return a mapping from `global_id` to post."""
        return _ById(self)

    @cached_property
    def sources(self) -> Mapping[str, int]:
        """Count the posts by source, the most frequent first."""
        return dict(self.sources_of(self._order))

    @cached_property
    def span(self) -> tuple[datetime, datetime]:
        """Return the time span of most posts, trimmed at either end so that a few wrong times do not stretch it."""
        if not len(self._order):
            return datetime.now(UTC), datetime.now(UTC)
        aside = len(self._order) // _ASIDE
        first, last = self.times[self._order[-1 - aside]], self.times[self._order[aside]]
        return time_at(int(first)), time_at(int(last))

    def cluster_of(self, cluster: int) -> ClusterOfPosts | None:
        """Return the cluster of an id, following merges; None if it has fewer than two posts."""
        group = self.groups.place(self.merges.resolve(cluster))
        return self.cluster_at(group) if group is not None and self.groups.sizes[group] > 1 else None

    def copies(self, global_id: str) -> PostLines:
        """Return the posts whose image is a copy of this post's, newest first."""
        original = self._columns.originals.number(global_id)
        return PostLines(self, self._order[self._columns.original[self._order] == original])

    def ordered(self, order: ClusterOrder, among: PostLines | None = None) -> PostClusters:
        """Return the clusters of at least two posts in an order.

        Args:
            order: The order; `rising` also leaves out clusters that are not rising.
            among: If given, only clusters with at least one of these posts.
        """
        found, groups = self._by_size, self.groups
        if among is not None:
            wanted = np.zeros(self._height, np.bool_)
            wanted[among.numbers] = True
            has = np.zeros(len(groups.ids), np.bool_)
            has[np.searchsorted(groups.starts, np.flatnonzero(wanted[groups.rows]), side="right") - 1] = True
            found = found[has[found]]
        if order == "rising":
            found = found[groups.rising[found]]
            found = found[np.argsort(-groups.trend[found], kind="stable")]
        elif order == "new":
            found = found[np.argsort(-groups.first[found], kind="stable")]
        elif order == "rate":
            found = found[np.argsort(-groups.recent[found], kind="stable")]
        return PostClusters(self, found)

    def found(
        self,
        *,
        source: str | None = None,
        author: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        cluster: int | None = None,
        is_alone: bool = False,
        ids: Iterable[str] | None = None,
    ) -> PostLines:
        """Return the posts that meet all given conditions, newest first; `cluster` may be a merged id."""
        rows, columns = self._order, self._columns
        if ids is not None:
            named = np.zeros(self._height, np.bool_)
            named[[row for row in map(self.row_of, ids) if row is not None]] = True
            rows = rows[named[rows]]
        if since is not None:
            rows = rows[self.times[rows] >= microseconds_of(since)]
        if until is not None:
            rows = rows[self.times[rows] < microseconds_of(until)]
        if source is not None:
            rows = rows[columns.source[rows] == columns.sources.number(source)]
        if author is not None:
            rows = rows[columns.author[rows] == columns.authors.number(author)]
        if is_alone:
            rows = rows[self._is_singleton[rows]]
        elif cluster is not None:
            rows = rows[self.clusters_of_posts[rows] == self.merges.resolve(cluster)]
        return PostLines(self, rows)

    def row_of(self, global_id: str) -> int | None:
        """Return the row number of a post, or None if it does not exist."""
        row = self._columns.row_of.get(global_id)
        return row if row is not None and row < self._height and self._live[row] else None

    def ids_at(self, rows: RowNumbers) -> list[str]:
        """Return the ids of rows."""
        return [self._columns.ids[it] for it in rows]

    def line(self, row: int) -> PostLine:
        """Make the post of a row number."""
        it = self._columns
        original = int(it.original[row])
        return PostLine(
            it.ids[row],
            time_at(int(self.times[row])),
            int(self.clusters_of_posts[row]),
            it.sources.names[it.source[row]],
            it.authors.names[it.author[row]],
            it.image[row].decode() or None,
            it.originals.names[original] if original >= 0 else None,
            bool(self._sensitive[row]),
        )

    def cluster_at(self, group: int) -> ClusterOfPosts:
        """Return the cluster at a position in `groups`; it is made once, so what it caches is kept."""
        return self._clusters.setdefault(group, ClusterOfPosts(self, group))

    def summary(self, group: int) -> ClusterSummary:
        """Summarise the cluster at a position in `groups`."""
        groups = self.groups
        cluster, start, size = int(groups.ids[group]), groups.starts[group], int(groups.sizes[group])
        recent, before = int(groups.recent[group]), int(groups.before[group])
        return ClusterSummary(
            cluster=cluster,
            state=self._states.get(cluster, "unknown"),
            merged=tuple(sorted(self._merged.get(cluster, ()))),
            size=size,
            duplicates=int(groups.copies[group]),
            first_seen=time_at(int(groups.first[group])),
            last_seen=time_at(int(groups.last[group])),
            recent=recent,
            before=before,
            rate=recent / (self._window / timedelta(hours=1)),
            trend=trend_of(recent, before),
            words=self._columns.words.keywords(cluster, groups.rows[start : start + size]),
        )

    def sources_of(self, rows: RowNumbers) -> list[tuple[str, int]]:
        """Count rows by source, the most frequent first."""
        counts = np.bincount(self._columns.source[rows], minlength=1)
        there = {self._columns.sources.names[it]: int(counts[it]) for it in np.flatnonzero(counts)}
        return Counter(there).most_common()

    def first_own(self, rows: RowNumbers, most: int) -> list[str]:
        """Return the ids of the first of `rows` that are not copies, or of the first rows if all are."""
        originals = rows[~self._copies[rows]]
        return [self._columns.ids[it] for it in (originals if len(originals) else rows)[:most]]

    @cached_property
    def _is_singleton(self) -> Mask:
        found = np.zeros(self._height, np.bool_)
        found[self.groups.rows[self.groups.starts[self.groups.sizes == 1]]] = True
        return found

    @cached_property
    def _merged(self) -> Mapping[int, list[int]]:
        """Return the ids that were merged into each cluster."""
        found: dict[int, list[int]] = {}
        for cluster in self._states:
            now = self.merges.resolve(cluster)
            if now != cluster:
                found.setdefault(now, []).append(cluster)
        return found

    def _settled(self) -> RowNumbers:
        """Return the current cluster of each row; rows of an older store have only the cluster assigned at arrival."""
        given, current = (it[: self._height] for it in (self._columns.given, self._columns.current))
        found: NDArray[np.int64] = np.where(given < 0, given, current)
        for row in np.flatnonzero((found == UNSETTLED) & self._live):
            found[row] = self.merges.current(self._columns.ids[row], int(given[row]))
        return found

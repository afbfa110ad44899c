"""Vectorised statistics of all clusters: sizes, times, trends, one array element per cluster."""

from datetime import UTC, datetime

import numpy as np

from core.times import microseconds_of
from search.cluster_summaries import latest_of
from search.vector_index import Mask, RowNumbers


class Groups:
    """Posts grouped by cluster (clusters of one post included), with statistics of each cluster.

    The arguments have one element per post, the attributes one per cluster, ordered by cluster id.

    Args:
        rows: Row number of each post.
        clusters: Cluster of each post.
        times: Time of each post, microseconds since 1970.
        copies: Whether its image is a copy of an earlier one.
        sensitive: Whether it is sensitive.
        window: Length of the recent window, microseconds.
    """

    def __init__(
        self, rows: RowNumbers, clusters: RowNumbers, times: RowNumbers, copies: Mask, sensitive: Mask, window: int
    ) -> None:
        order = np.lexsort((times, clusters))
        self.rows = rows[order]
        clusters, times = clusters[order], times[order]
        self.ids, self.starts, self.sizes = np.unique(clusters, return_index=True, return_counts=True)
        now = latest_of(np.sort(times), window, microseconds_of(datetime.now(UTC)))
        self.first = times[self.starts]
        self.last = times[self.starts + self.sizes - 1]
        self.recent = self._sums((times > now - window) & (times <= now))
        self.before = self._sums((times > now - 2 * window) & (times <= now - window))
        self.copies = self._sums(copies[order])
        self.sensitive = self._sums(sensitive[order]) > 0
        both = self.recent + self.before
        self.trend = (self.recent - self.before) / np.sqrt(np.maximum(1, both))
        self.rising = (self.recent > 1) & (self.trend > 0)

    def place(self, cluster: int) -> int | None:
        """Return the position of a cluster in the arrays, or None if it has no posts."""
        found = int(np.searchsorted(self.ids, cluster))
        return found if found < len(self.ids) and self.ids[found] == cluster else None

    def _sums(self, flags: Mask) -> RowNumbers:
        if not len(self.starts):
            return np.zeros(0, np.int64)
        found: RowNumbers = np.add.reduceat(flags.astype(np.int64), self.starts)
        return found

"""The posts of a store as a catalogue in memory: of each what lists, filters and clusters need, newest first."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import orjson

from connectors.store import posts_table as store
from connectors.store.store_folder import READ_ERRORS, opened, read_latest
from core.errors import WorldError, first_line
from core.merges import Merges
from search.cluster_summaries import (
    SUMMARISED,
    ClusterSummary,
    current_cluster,
    merges_of,
    states_of,
    summarised,
    time_of,
)

_COLUMNS: Final = (*SUMMARISED, "source", "author", "picture_sha256", "extra")
_BATCH: Final = 1024
_BINS: Final = 24
"""Of a sparkline."""
_SENSITIVE: Final = ("nsfw", "over_18", "sensitive")
"""Fields by which sources say so."""
_LONGEST_NAME: Final = 200
"""Characters that are kept of who posted it, and where."""


@dataclass(frozen=True, slots=True)
class PostLine:
    """A post, in short."""

    global_id: str
    time: datetime
    """When it was posted, or else joined."""
    cluster: int
    """As of now; negative: in none."""
    source: str
    author: str
    picture: str | None
    """Key of its thumbnail."""
    copy_of: str | None
    """The post whose picture this one is a copy of."""
    is_sensitive: bool
    """Its source or its labels say so."""


@dataclass(frozen=True, slots=True)
class ClusterOfPosts:
    """A cluster with its posts."""

    summary: ClusterSummary
    posts: tuple[PostLine, ...]
    """Oldest first."""

    @property
    def sources(self) -> list[tuple[str, int]]:
        """Where its posts are from, the commonest first."""
        return Counter(it.source for it in self.posts).most_common()

    @property
    def is_sensitive(self) -> bool:
        """Whether any of its posts is."""
        return any(it.is_sensitive for it in self.posts)

    @property
    def is_rising(self) -> bool:
        """Whether it has more posts lately than before: one new post alone is no trend."""
        return self.summary.recent > 1 and self.summary.trend > 0

    def sparkline(self, begin: datetime, end: datetime, bins: int = _BINS) -> list[int]:
        """Posts in each of so many equal parts of a time; those before and after it are left out."""
        counts = [0] * bins
        width = max(timedelta(seconds=1), (end - begin) / bins)
        for it in self.posts:
            if begin <= it.time <= end:
                counts[min(bins - 1, int((it.time - begin) / width))] += 1
        return counts


@dataclass(frozen=True)
class Catalogue:
    """The posts of a store at one moment."""

    posts: tuple[PostLine, ...] = ()
    """Newest first."""
    clusters: tuple[ClusterOfPosts, ...] = ()
    """With two posts at least, the largest first."""
    alone: tuple[PostLine, ...] = ()
    """Posts that are the only one of their cluster, newest first."""
    merges: Merges = field(default_factory=Merges)

    @cached_property
    def by_id(self) -> Mapping[str, PostLine]:
        """Posts by `global_id`."""
        return {it.global_id: it for it in self.posts}

    @cached_property
    def by_cluster(self) -> Mapping[int, ClusterOfPosts]:
        """Clusters by id."""
        return {it.summary.cluster: it for it in self.clusters}

    @cached_property
    def sources(self) -> Mapping[str, int]:
        """Posts by source, the commonest first."""
        return dict(Counter(it.source for it in self.posts).most_common())

    @cached_property
    def copies(self) -> Mapping[str, Sequence[PostLine]]:
        """The posts whose picture is a copy of another's, by that one."""
        found: dict[str, list[PostLine]] = {}
        for it in self.posts:
            if it.copy_of is not None:
                found.setdefault(it.copy_of, []).append(it)
        return found

    @cached_property
    def span(self) -> tuple[datetime, datetime]:
        """From when to when most posts are: a few at either end whose time may be wrong do not stretch it."""
        if not self.posts:
            return datetime.now(UTC), datetime.now(UTC)
        aside = len(self.posts) // 200
        return self.posts[-1 - aside].time, self.posts[aside].time

    def cluster_of(self, cluster: int) -> ClusterOfPosts | None:
        """The cluster that goes by this id, or into which this one was merged; None where it has no two posts."""
        return self.by_cluster.get(self.merges.resolve(cluster))

    def found(
        self,
        *,
        source: str | None = None,
        author: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[PostLine]:
        """The posts that all of these let through, newest first."""
        for it in self.posts:
            if (
                (source is None or it.source == source)
                and (author is None or it.author == author)
                and (since is None or it.time >= since)
                and (until is None or it.time < until)
            ):
                yield it


def catalogue_of(folder: Path, window: timedelta) -> Catalogue:
    """Read the posts of a store; empty where it has none yet. Raises `WorldError` where it cannot be read."""
    if not (folder / f"{store.TABLE}.lance").is_dir():
        return Catalogue()
    try:
        return read_latest(lambda: _read(folder, window))
    except READ_ERRORS as error:
        raise WorldError(f"{folder} cannot be read: {first_line(error)}") from None


def is_sensitive(extra: Mapping[str, Any]) -> bool:
    """Whether a source says that not everybody wants to see a post: `nsfw` and its like, or labels of what it shows."""
    if any(extra.get(name) is True for name in _SENSITIVE):
        return True
    labels = extra.get("labels")
    return isinstance(labels, list) and any(isinstance(it, str) and not it.startswith("!") for it in labels)


def extra_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a row's post that memewax does not know; none where they are no JSON object."""
    try:
        found = orjson.loads(row.get("extra") or "{}")
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _read(folder: Path, window: timedelta) -> Catalogue:
    merges, states = merges_of(folder), states_of(folder)
    lines: list[PostLine] = []

    def rows() -> Iterator[Mapping[str, Any]]:
        for row in _rows(folder):
            lines.append(_line(row, merges))
            yield row

    summaries = summarised(rows(), states, merges, window)
    lines.sort(key=lambda it: (it.time, it.global_id), reverse=True)
    members: dict[int, list[PostLine]] = {}
    for it in reversed(lines):
        members.setdefault(it.cluster, []).append(it)
    clusters = tuple(ClusterOfPosts(it, tuple(members[it.cluster])) for it in summaries if it.size > 1)
    alone = tuple(it for it in lines if it.cluster >= 0 and len(members[it.cluster]) == 1)
    return Catalogue(tuple(lines), clusters, alone, merges)


def _rows(folder: Path) -> Iterable[Mapping[str, Any]]:
    table = opened(folder).open_table(store.TABLE)
    columns = [name for name in _COLUMNS if name in table.schema.names]
    for batch in table.search().select(columns).limit(max(1, table.count_rows())).to_batches(batch_size=_BATCH):
        for row in batch.to_pylist():
            yield dict.fromkeys(_COLUMNS) | row


def _line(row: Mapping[str, Any], merges: Merges) -> PostLine:
    cluster = row["cluster"]
    return PostLine(
        row["global_id"],
        time_of(row),
        current_cluster(row, merges) if cluster >= 0 else cluster,
        (row["source"] or "")[:_LONGEST_NAME],
        (row["author"] or "")[:_LONGEST_NAME],
        row["picture_sha256"],
        row["duplicate_of"],
        is_sensitive(extra_of(row)),
    )

"""Data of the page as plain values, for both the JSON API and the views."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import PurePath
from threading import Lock
from time import monotonic
from typing import Final

from core.bounded_dict import BoundedDict
from core.status import FOLDER, read_status
from memewax import __version__
from memewax.page.page_dead_letters import DeadLetterReader
from memewax.page.page_lines import line_json, post_json, row_json
from memewax.page.page_search import PageHits, SearchRequest
from memewax.page.page_values import MOST, Plain, bounded, flow_json
from search.posts_catalogue import Catalogue, ClusterOfPosts, ClusterOrder, PostLines
from search.store_posts import PostLine, extra_of
from search.store_reader import StoreReader

Find = Callable[[SearchRequest, int], PageHits]
ORDERS: Final[Mapping[ClusterOrder, str]] = {
    "size": "largest",
    "new": "newest",
    "rising": "rising",
    "rate": "fastest",
}
_LONG: Final = 20_000
"""Maximum characters of a text on the page of a post."""
_NEIGHBOURS: Final = 8
_ROWS_CACHED: Final = 20_000
"""Posts whose list entries are cached, in about 30 MB."""
_SHARED_SECONDS: Final = 0.5
"""Seconds that the newest posts are cached and shared by all visitors."""
_ON_TIMELINE: Final = 2000
"""Maximum posts of a cluster on its timeline."""
_IN_LISTS: Final = ("description", "text_as_read", "url", "failures", "missing")
_SENTINELS: Final = {-1: "its image has no embedding", -2: "clustering failed on it"}


@dataclass(frozen=True, slots=True)
class PostFilter:
    """A filter of posts; None and empty values let all pass."""

    source: str | None = None
    author: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    cluster: int | None = None
    is_alone: bool = False
    """Only posts that are the only one of their cluster."""
    column: str | None = None
    """Name of a custom column."""
    value: str = ""
    """The value that the custom column must have."""


_ALL: Final = PostFilter()


class PageData:
    """Data of a store and its flow, for any number of threads."""

    def __init__(self, reader: StoreReader, dead_letters: DeadLetterReader, find: Find) -> None:
        self._reader = reader
        self._dead_letters = dead_letters
        self._find = find
        self._lock, self._looking = Lock(), Lock()
        self._list_rows: BoundedDict[str, tuple[int, Plain]] = BoundedDict(_ROWS_CACHED)
        """Fields of list entries beyond the catalogue's, with the place of the row that they were read from."""
        self._newest: tuple[float, list[Plain]] = (0.0, [])

    def posts(self, wanted: PostFilter, offset: int = 0, limit: int = MOST) -> Plain:
        """Return a page of the posts that pass a filter, newest first, and their number. Raises `WorldError`."""
        found = self.chosen(wanted)
        return {
            "total": len(found),
            "offset": offset,
            "posts": self._shown(found[offset : offset + min(limit, MOST)]),
        }

    def chosen(self, wanted: PostFilter) -> PostLines:
        """Return the posts that pass a filter, newest first. Raises `WorldError` and `BadRecordError`."""
        return self._found(self._reader.catalogue(), wanted)

    def _found(self, catalogue: Catalogue, wanted: PostFilter) -> PostLines:
        return catalogue.found(
            source=wanted.source,
            author=wanted.author,
            since=wanted.since,
            until=wanted.until,
            cluster=wanted.cluster,
            is_alone=wanted.is_alone,
            ids=self._reader.ids_where(wanted.column, wanted.value) if wanted.column else None,
        )

    def custom_columns(self) -> list[str]:
        """Return the custom columns that posts can be filtered by. Raises `WorldError`."""
        return sorted(self._reader.custom_columns())[:MOST]

    def post(self, global_id: str) -> Plain | None:
        """Return all data of a post; None if it does not exist. Raises `WorldError`."""
        row = self._reader.post(global_id)
        if row is None:
            return None
        catalogue = self._reader.catalogue()
        line = catalogue.by_id.get(global_id)
        extra = extra_of(row)
        cluster = line.cluster if line is not None else row["cluster"]
        image = row.get("picture_sha256")
        small = self._reader.thumbnail(image) if image else None
        own = catalogue.copies(row.get("duplicate_of") or global_id)
        copies = [it for it in own if it.global_id != global_id]
        near = self._reader.neighbours(global_id, _NEIGHBOURS)
        return {
            **{name: bounded(value, _LONG) for name, value in row.items() if name != "extra"},
            "lines": bounded(row.get("lines"), _LONG),
            "extra": bounded(extra, _LONG),
            "current_cluster": cluster,
            "has_cluster_page": catalogue.cluster_of(cluster) is not None,
            "why_no_cluster": _SENTINELS.get(cluster, ""),
            "time": line.time.isoformat() if line is not None else row["created_time"],
            "sensitive": line is not None and line.is_sensitive,
            "thumbnail": f"/thumbnail/{image}" if small else None,
            "image": small and {"width": small.width, "height": small.height},
            "copies": self._shown(copies[:MOST]),
            "copies_in_all": len(copies),
            "original": self._shown_ids([row["duplicate_of"]])[0] if self._is_there(row.get("duplicate_of")) else None,
            "neighbours": self._with_scores(near),
        }

    def clusters(
        self, order: ClusterOrder = "size", wanted: PostFilter = _ALL, offset: int = 0, limit: int = MOST
    ) -> Plain:
        """Return a page of the clusters of two or more posts with a post that passes, and their number.

        Raises `WorldError`, and `BadRecordError` for an unknown column.
        """
        catalogue = self._reader.catalogue()
        found = catalogue.ordered(order, self._among(catalogue, wanted))
        some = found[offset : offset + min(limit, MOST)]
        best = self._reader.exemplars([it.id for it in some])
        shown = {it["global_id"]: it for it in self._shown(list(best.values()))}
        return {
            "total": len(found),
            "offset": offset,
            "alone": len(catalogue.singletons),
            "clusters": [self._cluster(it, shown.get(best[it.id].global_id) if it.id in best else None) for it in some],
        }

    def chosen_clusters(self, order: ClusterOrder, wanted: PostFilter) -> list[int]:
        """Return the ids of all clusters that `clusters` lists."""
        catalogue = self._reader.catalogue()
        return [it.id for it in catalogue.ordered(order, self._among(catalogue, wanted))]

    def cluster(self, cluster: int) -> Plain | None:
        """Return a cluster by its id or a merged one; None if it has fewer than two posts. Raises `WorldError`."""
        catalogue = self._reader.catalogue()
        found = catalogue.cluster_of(cluster)
        if found is None:
            return None
        best = self._reader.exemplars([found.summary.cluster]).get(found.summary.cluster)
        shown = self._shown([best]) if best else []
        first = found.posts[0].time
        by_source: dict[str, Plain] = {}
        for it in found.posts:
            known = by_source.setdefault(
                it.source, {"source": it.source, "posts": 0, "first_seen": it.time.isoformat(), "hours_later": 0.0}
            )
            known["posts"] += 1
            known["hours_later"] = known["hours_later"] or round(
                (datetime.fromisoformat(known["first_seen"]) - first).total_seconds() / 3600, 2
            )
        return {
            **self._cluster(found, shown[0] if shown else None),
            "by_source": list(by_source.values()),
            "history": [
                {**row, "moved": len(row["moved"] or ())} for row in self._reader.history(found.summary.cluster)
            ],
            "timeline": [
                {"global_id": it.global_id, "time": it.time.isoformat(), "source": it.source}
                for it in found.posts[:_ON_TIMELINE]
            ],
        }

    def stacks(self, cluster: int, offset: int, limit: int) -> Plain:
        """Return a page of a cluster's posts, oldest first, grouped by duplicate images. Raises `WorldError`."""
        catalogue = self._reader.catalogue()
        found = catalogue.cluster_of(cluster)
        stacks: dict[str, list[PostLine]] = {}
        for it in found.posts if found else ():
            stacks.setdefault(it.copy_of or it.global_id, []).append(it)
        some = list(stacks.values())[offset : offset + min(limit, MOST)]
        shown = {it["global_id"]: it for it in self._shown([lines[0] for lines in some])}
        return {
            "total": len(stacks),
            "offset": offset,
            "stacks": [
                {
                    "post": shown[lines[0].global_id],
                    "copies": [line_json(it) for it in lines[1:MOST]],
                    "size": len(lines),
                }
                for lines in some
                if lines[0].global_id in shown
            ],
        }

    def replay(self, stage: str, cause: str) -> int:
        """Request a replay of the open dead letters of a stage and cause; return how many. Raises `MemewaxError`."""
        return self._dead_letters.replay(stage, cause)

    def dead_letters(self) -> Plain:
        """Return the open dead letters by cause."""
        return asdict(self._dead_letters.dead_letters())

    def each_dead_letter(self) -> Iterator[Plain]:
        """Yield the open dead letters in the order of their file. Raises `MemewaxError`."""
        return self._dead_letters.each()

    def search(self, request: SearchRequest, k: int, wanted: PostFilter = _ALL) -> Plain | None:
        """Search among the posts that pass a filter; return certain and weak hits.

        `error` tells why the search failed. Returns None if the post to be similar to does not exist.
        """
        if request.like and request.like not in self._reader.catalogue().by_id:
            return None
        among = self._among(self._reader.catalogue(), wanted)
        found = self._find(request if among is None else replace(request, among=frozenset(among.ids)), k)
        ids = [hit.global_id for hit in (*found.hits, *found.weak)]
        shown = {it["global_id"]: it for it in self._shown_ids(ids)}
        hits, weak = (
            [
                {"post": shown[it.global_id], "score": round(it.score, 4), "why": it.why}
                for it in those
                if it.global_id in shown
            ]
            for those in (found.hits, found.weak)
        )
        asked = {"query": request.words, "like": request.like or None, "by": request.by if request.like else None}
        return {**asked, "searched": found.searched, "error": found.error, "hits": hits, "weak": weak}

    def flows(self) -> Plain:
        """Return the status of the flows that write the store."""
        report = read_status(self._reader.store.state / FOLDER)
        return {"flows": [flow_json(it) for it in report.flows], "problems": list(report.problems)}

    def newest(self, count: int) -> list[Plain]:
        """Return the posts that were joined last. Raises `WorldError`."""
        with self._looking:
            until, found = self._newest
            if monotonic() >= until or len(found) < count:
                known = self._reader.catalogue().by_id
                found = [post_json(row, known.get(row["global_id"])) for row in self._reader.newest(count)]
                self._newest = monotonic() + _SHARED_SECONDS, found
            return found[:count]

    def stats(self) -> Plain:
        """Return counts of the store and the status of its flows. Raises `WorldError`."""
        catalogue = self._reader.catalogue()
        begin, end = catalogue.span
        there = bool(catalogue.posts)
        return {
            "version": __version__,
            "store": PurePath(self._reader.store.address).name,
            "posts": len(catalogue.posts),
            "clusters": len(catalogue.clusters),
            "alone": len(catalogue.singletons),
            "sources": dict(list(catalogue.sources.items())[:MOST]),
            "first": begin.isoformat() if there else None,
            "last": end.isoformat() if there else None,
            "tables": self._reader.catalogued(),
            "dead_letters": self._dead_letters.dead_letters().total,
            **self.flows(),
        }

    def _cluster(self, found: ClusterOfPosts, exemplar: Plain | None) -> Plain:
        it = found.summary
        return {
            "cluster": it.cluster,
            "state": it.state,
            "merged": list(it.merged),
            "size": it.size,
            "copies": it.duplicates,
            "first_seen": it.first_seen.isoformat(),
            "last_seen": it.last_seen.isoformat(),
            "recent": it.recent,
            "before": it.before,
            "rate": round(it.rate, 4),
            "trend": round(it.trend, 3),
            "is_rising": found.is_rising,
            "words": list(it.words),
            "sources": dict(found.sources[:MOST]),
            "sparkline": found.sparkline,
            "exemplar": exemplar,
            "sensitive": found.is_sensitive,
        }

    def _among(self, catalogue: Catalogue, wanted: PostFilter) -> PostLines | None:
        """Return the posts that pass a filter; None if all do."""
        return None if wanted == _ALL else self._found(catalogue, wanted)

    def _is_there(self, global_id: str | None) -> bool:
        return global_id is not None and global_id in self._reader.catalogue().by_id

    def _shown_ids(self, ids: Iterable[str]) -> list[Plain]:
        known = self._reader.catalogue().by_id
        return self._shown([known[it] for it in ids if it in known])

    def _with_scores(self, near: Sequence[tuple[str, float]]) -> list[Plain]:
        shown = {it["global_id"]: it for it in self._shown_ids([it for it, _ in near])}
        return [{**shown[it], "cosine": round(cosine, 3)} for it, cosine in near if it in shown]

    def _shown(self, lines: Sequence[PostLine]) -> list[Plain]:
        places = self._reader.places([it.global_id for it in lines])
        fields = {
            it: known[1] for it, place in places.items() if (known := self._list_rows.get(it)) and known[0] == place
        }
        for row in self._reader.rows([it.global_id for it in lines if it.global_id not in fields], _IN_LISTS):
            global_id = row["global_id"]
            fields[global_id] = row_json(row)
            if global_id in places:
                with self._lock:
                    self._list_rows[global_id] = places[global_id], fields[global_id]
        return [{**line_json(it), **fields[it.global_id]} for it in lines if it.global_id in fields]

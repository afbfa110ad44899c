"""What the page knows, as plain values: the JSON API answers with them, and the views show them."""

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
"""And where it is alone."""
_NEIGHBOURS: Final = 8
_TOLD: Final = 20_000
"""Posts of which it is remembered what lists tell of them: some 30 MB."""
_SHARED_SECONDS: Final = 0.5
"""So long all who look at what comes see the same."""
_ON_TIMELINE: Final = 2000
"""Posts of a cluster that are drawn."""
_IN_LISTS: Final = ("description", "text_as_read", "url", "failures", "missing")
_SENTINELS: Final = {-1: "its image has no embedding", -2: "clustering failed on it"}


@dataclass(frozen=True, slots=True)
class PostFilter:
    """Which posts are listed."""

    source: str | None = None
    author: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    cluster: int | None = None
    is_alone: bool = False
    """Only those that are the only post of their cluster."""
    column: str | None = None
    """A custom column."""
    value: str = ""
    """That it has."""


_ALL: Final = PostFilter()


class PageData:
    """What is known of a store and its flow."""

    def __init__(self, reader: StoreReader, dead_letters: DeadLetterReader, find: Find) -> None:
        self._reader = reader
        self._dead_letters = dead_letters
        self._find = find
        self._lock, self._looking = Lock(), Lock()
        self._told: BoundedDict[str, tuple[int, Plain]] = BoundedDict(_TOLD)
        """What lists tell of a post besides its line, and where its row was then."""
        self._newest: tuple[float, list[Plain]] = (0.0, [])

    def posts(self, wanted: PostFilter, offset: int = 0, limit: int = MOST) -> Plain:
        """Some of the posts that a filter lets through, newest first, and how many there are. Raises `WorldError`."""
        found = self.chosen(wanted)
        return {
            "total": len(found),
            "offset": offset,
            "posts": self._shown(found[offset : offset + min(limit, MOST)]),
        }

    def chosen(self, wanted: PostFilter) -> PostLines:
        """The posts that a filter lets through, newest first. Raises `WorldError` and `BadRecordError`."""
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
        """The custom columns that posts can be filtered by. Raises `WorldError`."""
        return sorted(self._reader.custom_columns())[:MOST]

    def post(self, global_id: str) -> Plain | None:
        """All that is known of a post; None where there is none. Raises `WorldError`."""
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
        """Some of the clusters of two posts and more of which a post passes, and how many there are.

        Raises `WorldError`, and `BadRecordError` where there is no such column.
        """
        catalogue = self._reader.catalogue()
        found = catalogue.ordered(order, self._among(catalogue, wanted))
        some = found[offset : offset + min(limit, MOST)]
        best = self._reader.exemplars([it.id for it in some])
        shown = {it["global_id"]: it for it in self._shown(list(best.values()))}
        return {
            "total": len(found),
            "offset": offset,
            "alone": len(catalogue.alone),
            "clusters": [self._cluster(it, shown.get(best[it.id].global_id) if it.id in best else None) for it in some],
        }

    def chosen_clusters(self, order: ClusterOrder, wanted: PostFilter) -> list[int]:
        """The ids of the clusters that `clusters` lists."""
        catalogue = self._reader.catalogue()
        return [it.id for it in catalogue.ordered(order, self._among(catalogue, wanted))]

    def cluster(self, cluster: int) -> Plain | None:
        """A cluster by any id that leads to it; None where there is none of two posts. Raises `WorldError`."""
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
        """The posts of a cluster, oldest first, those with copies of one image together. Raises `WorldError`."""
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
        """Ask the flow to read the open dead letters of a stage and cause once more. Raises `MemewaxError`."""
        return self._dead_letters.replay(stage, cause)

    def dead_letters(self) -> Plain:
        """The dead letters that are open, by cause."""
        return asdict(self._dead_letters.dead_letters())

    def each_letter(self) -> Iterator[Plain]:
        """The dead letters that are open, one by one, as they lie in their file. Raises `MemewaxError`."""
        return self._dead_letters.each()

    def search(self, request: SearchRequest, k: int, wanted: PostFilter = _ALL) -> Plain | None:
        """The posts that fit best of those that a filter lets through, and those that might be meant.

        `error` says why nothing could be looked for. None where the post that they are to be like is not there.
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
        """What the flows that write the store say of themselves."""
        report = read_status(self._reader.store.state / FOLDER)
        return {"flows": [flow_json(it) for it in report.flows], "problems": list(report.problems)}

    def newest(self, count: int) -> list[Plain]:
        """The posts that were joined last. Raises `WorldError`."""
        with self._looking:
            until, found = self._newest
            if monotonic() >= until or len(found) < count:
                known = self._reader.catalogue().by_id
                found = [post_json(row, known.get(row["global_id"])) for row in self._reader.newest(count)]
                self._newest = monotonic() + _SHARED_SECONDS, found
            return found[:count]

    def stats(self) -> Plain:
        """How much of what there is. Raises `WorldError`."""
        catalogue = self._reader.catalogue()
        begin, end = catalogue.span
        there = bool(catalogue.posts)
        return {
            "version": __version__,
            "store": PurePath(self._reader.store.address).name,
            "posts": len(catalogue.posts),
            "clusters": len(catalogue.clusters),
            "alone": len(catalogue.alone),
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
        """The posts that a filter lets through; None where it lets all through."""
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
        told = {it: known[1] for it, place in places.items() if (known := self._told.get(it)) and known[0] == place}
        for row in self._reader.rows([it.global_id for it in lines if it.global_id not in told], _IN_LISTS):
            global_id = row["global_id"]
            told[global_id] = row_json(row)
            if global_id in places:
                with self._lock:
                    self._told[global_id] = places[global_id], told[global_id]
        return [{**line_json(it), **told[it.global_id]} for it in lines if it.global_id in told]

"""Downloads of the page: the list of a view as a file."""

import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, cast

from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from core.errors import BadRecordError
from memewax.page.page_data import PageData
from memewax.page.page_queries import PageQuery, order_of, post_filter, request_of
from memewax.page.page_search import MOST as MOST_HITS
from search.atlas import write_images
from search.cluster_summaries import summaries
from search.exporting import ExportForm, ExportRow, Posts, clusters_of, write_export
from search.image_network import MOST_POSTS, network_of_posts
from search.shared_templates import network_of, write_gexf
from search.store_reader import StoreReader

_MEDIA: Final = {
    "csv": "text/csv; charset=utf-8",
    "jsonl": "application/x-ndjson",
    "gexf": "application/gexf+xml",
    "parquet": "application/vnd.apache.parquet",
}
_WAIT_SECONDS: Final = 10.0
"""Seconds to wait for the download before."""

WriteFile = Callable[[PageQuery, Path], None]


class Downloads:
    """Writes a list to a temporary file, sends and deletes it; one at a time, since most read the whole store."""

    def __init__(self, reader: StoreReader, data: PageData) -> None:
        self._reader, self._data = reader, data
        self._one_at_a_time = threading.Lock()
        self._rows: Mapping[str, Callable[[PageQuery], Iterable[ExportRow]]] = {
            "posts": self._posts,
            "clusters": self._clusters,
            "hits": self._hits,
            "dead-letters": lambda _: data.each_dead_letter(),
        }
        self._others: Mapping[str, WriteFile] = {
            "network.gexf": self._network,
            "alike.gexf": self._alike,
            "images.parquet": self._images,
        }

    def answer(self, request: Request) -> Response:
        """Send the file that the path names; 404 for an unknown list or format, 503 if too many are waiting."""
        what, form, query = request.path_params["what"], request.path_params["form"], request.query_params
        name = f"{what}.{form}"
        if not (name in self._others or (what in self._rows and form in {"csv", "jsonl"})):
            raise HTTPException(404)
        with self._alone():
            path = _new_file(form)
            try:
                if name in self._others:
                    self._others[name](query, path)
                else:
                    rows, kind = self._rows[what](query), cast("ExportForm", form)
                    write_export(rows, path, kind, None, by_day=False, replace=True)
            except BaseException:
                path.unlink(missing_ok=True)
                raise
        gone = BackgroundTask(path.unlink, missing_ok=True)
        return FileResponse(path, media_type=_MEDIA[form], filename=name, background=gone)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._one_at_a_time.acquire(timeout=_WAIT_SECONDS):
            raise HTTPException(503, "other downloads are running: try again in a minute")
        try:
            yield
        finally:
            self._one_at_a_time.release()

    def _posts(self, query: PageQuery) -> Iterator[ExportRow]:
        wanted = set(self._data.chosen(post_filter(query)).ids)
        if wanted:
            yield from (row for row in Posts(self._reader.store) if row["global_id"] in wanted)

    def _clusters(self, query: PageQuery) -> Iterator[ExportRow]:
        wanted = set(self._data.chosen_clusters(order_of(query), post_filter(query)))
        found = clusters_of(self._reader.store, self._reader.window.total_seconds() / 3600) if wanted else []
        yield from (row for row in found if row["cluster"] in wanted)

    def _hits(self, query: PageQuery) -> Iterator[ExportRow]:
        """Yield the hits of a search by words or by a post; a search by image has no address to repeat it."""
        wanted = request_of(query)
        found = self._data.search(wanted, MOST_HITS, post_filter(query)) if wanted else None
        if found is None:
            raise HTTPException(404)
        if found["error"]:
            raise HTTPException(503, found["error"])
        hits = [(it, is_weak) for name, is_weak in (("hits", False), ("weak", True)) for it in found[name]]
        rows = {row["global_id"]: row for row in self._reader.rows([it["post"]["global_id"] for it, _ in hits])}
        for rank, (it, is_weak) in enumerate(hits, 1):
            row = rows.get(it["post"]["global_id"])
            if row is not None:  # else it was deleted meanwhile
                yield {"rank": rank, "score": it["score"], "why": it["why"], "weak": is_weak, **row}

    def _network(self, query: PageQuery, path: Path) -> None:
        """Write a network of communities and the clusters that they posted."""
        wanted = set(self._data.chosen_clusters(order_of(query), post_filter(query)))
        store, window = self._reader.store, self._reader.window
        found = [it for it in summaries(store, window) if it.cluster in wanted] if wanted else []
        posts = Posts(store) if wanted else ()
        write_gexf(network_of(posts, found, "community", at_least=2, shared=False), path)

    def _alike(self, query: PageQuery, path: Path) -> None:
        """Write a network of posts with the same or nearly the same image."""
        wanted = set(self._data.chosen(post_filter(query)).ids)
        if len(wanted) > MOST_POSTS:
            raise BadRecordError(
                f"{len(wanted):,} posts are too many for a network: narrow the filter to at most {MOST_POSTS:,}"
            )
        write_gexf(network_of_posts(Posts(self._reader.store), wanted), path)

    def _images(self, query: PageQuery, path: Path) -> None:
        """Write posts with their embeddings and thumbnails."""
        wanted = set(self._data.chosen(post_filter(query)).ids)
        store = self._reader.store
        write_images(Posts(store, vectors=True), summaries(store, self._reader.window), wanted, path)


def _new_file(form: str) -> Path:
    with tempfile.NamedTemporaryFile(prefix="memewax-", suffix=f".{form}", delete=False) as file:
        return Path(file.name)

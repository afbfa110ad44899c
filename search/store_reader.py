"""Reader of a store while others write it: posts, clusters and thumbnails, without models and without file locks."""

import threading
import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import numpy as np

from connectors.sinks.cluster_events import CLUSTERS
from connectors.sinks.record_table import POSTS, THUMBNAILS
from connectors.store.interface import COSINE, Condition, StorePlace, TableReader, UnsupportedError
from connectors.store.lance_tables import tables_of
from connectors.store.store_folder import read_latest
from connectors.store.stored_models import model_of
from core.bounded_dict import BoundedDict
from core.errors import WorldError
from core.memory import give_back_memory, resident_bytes
from core.merges import Merges
from core.telemetry import log
from search.cluster_summaries import merges_of, states_of
from search.custom_filter import custom_columns, ids_where
from search.followed_posts import FollowedPosts
from search.followed_vectors import FollowedVectors
from search.post_columns import LOOKS, MEANING
from search.posts_catalogue import Catalogue
from search.store_posts import PostLine

VECTORS: Final = (LOOKS, MEANING)
"""Columns that readers do not ask for."""
_LOOK_SECONDS: Final = 1.0
_FRESH_SECONDS: Final = 0.2
"""Greatest age of a table handle before it is refreshed."""
_REST: Final = 5
"""After a rebuild of the catalogue, wait this many times its duration: it then takes at most a fifth of a core."""
_MEMBERS: Final = 24
"""Posts of a cluster among which its exemplar is chosen: the first that came, so that the exemplar is stable."""
_EXEMPLARS: Final = 20_000
"""Clusters whose exemplar is cached."""
_MUCH: Final = 24 * 2**20
"""Growth of the process, in bytes, after which free memory is returned to the system."""
_KEYS: Final = 500
"""Most events of a cluster that are read."""


@dataclass(slots=True)
class _Opened:
    """An open table."""

    identity: Hashable
    table: TableReader
    look_at: float
    """Time of the next refresh."""


@dataclass(frozen=True, slots=True)
class SmallImage:
    """A thumbnail."""

    webp: bytes
    width: int | None
    """Width in pixels of the original image, to which the boxes of text lines refer; None if it was not stored."""
    height: int | None


class StoreReader:
    """Reads a store that others write. Thread-safe.

    Lists come from a catalogue in memory, which a background thread keeps up to date; single posts, images and
    neighbours are read on request.

    Args:
        store: The store, or its folder; it need not have any table yet.
        window: Length of the recent window of clusters.
        now: Monotonic clock, in seconds.
    """

    def __init__(
        self, store: StorePlace, window: timedelta = timedelta(days=1), now: Callable[[], float] = time.monotonic
    ) -> None:
        self.store = tables_of(store)
        self.window = window
        self._now = now
        self._lock = threading.Lock()
        self._following = threading.Lock()
        """Held by the one thread that updates the followed posts."""
        self._catalogue: Catalogue | None = None
        self._versions: dict[str, Hashable] = {}
        self._look_at = 0.0
        self._step_at = 0.0
        self._is_reading = False
        self._posts = FollowedPosts(self.store)
        self.looks = FollowedVectors(
            lambda: self._posts.columns, lambda it: it.looks, lambda: self._model(LOOKS, "embedding")
        )
        """Posts by image embedding."""
        self.meaning = FollowedVectors(
            lambda: self._posts.columns, lambda it: it.meaning, lambda: self._model(MEANING, "text_embedding")
        )
        """Posts by text embedding."""
        self._models: dict[str, str] = {}
        self._became: tuple[Hashable, Merges, dict[int, str]] = (None, Merges(), {})
        """Version of the table of clusters, with its merges and states."""
        self._exemplars: BoundedDict[int, tuple[tuple[str, ...], str]] = BoundedDict(_EXEMPLARS)
        self._tables: dict[str, _Opened] = {}
        self._opening = threading.Lock()
        self._resident = 0
        """Resident bytes of the process when memory was last returned to the system."""

    def catalogue(self) -> Catalogue:
        """Return the latest catalogue, at most seconds old; the first call waits until it is built.

        Raises:
            WorldError: The store cannot be read.
        """
        with self._lock:
            known = self._catalogue
            is_due = known is not None and self._now() >= self._look_at and not self._is_reading
            if is_due:
                self._look_at = self._now() + _LOOK_SECONDS
                self._is_reading = True
        if is_due:
            threading.Thread(target=self._follow, name="catalogue", daemon=True).start()
        return known or self._first()

    def refresh(self) -> Catalogue:
        """Read now what has changed, and return the catalogue; raise `WorldError` if the store cannot be read."""
        with self._following:
            self._bring_up_to_date()
            assert self._catalogue is not None
            return self._catalogue

    def _first(self) -> Catalogue:
        with self._following:
            if self._catalogue is None:
                self._bring_up_to_date()
            assert self._catalogue is not None
            return self._catalogue

    def versions(self) -> dict[str, Hashable]:
        """Return the latest version of each table that exists."""
        names = (POSTS, CLUSTERS.name, THUMBNAILS.name)
        there = [it for it in names if self._has(it)]
        return {it: self._table(it).refresh() for it in there}

    def catalogued(self) -> dict[str, Hashable]:
        """Return the version of each table that the catalogue was built from."""
        return dict(self._versions)

    def post(self, global_id: str) -> dict[str, Any] | None:
        """Read a post without its vectors; None if it does not exist. Raise `WorldError` if that fails."""
        found = self.rows([global_id])
        return found[0] if found else None

    def rows(self, ids: Sequence[str], columns: Iterable[str] | None = None) -> list[dict[str, Any]]:
        """Read posts in the order of `ids`; missing posts are left out.

        Args:
            ids: Ids of posts.
            columns: Columns to read; None for all but the vectors.

        Raises:
            WorldError: The store cannot be read.
        """
        if not ids or not self._has(POSTS):
            return []
        table = self._table(POSTS)
        there = table.schema.names
        wanted = [it for it in (columns or there) if it in there and (columns or it not in VECTORS)]
        # Reading by the places last seen takes a tenth of the time; it is safe, since places are never reused.
        found = table.rows(ids, wanted, self._posts.columns.places(ids)).to_pylist()
        by_id = {row["global_id"]: dict.fromkeys(columns or ()) | row for row in found}
        return [by_id[it] for it in dict.fromkeys(ids) if it in by_id]

    def custom_columns(self) -> dict[str, str]:
        """Return the custom columns of posts and their Arrow types; raise `WorldError` if that fails."""
        return custom_columns(self._posts_table())

    def ids_where(self, column: str, value: str) -> frozenset[str]:
        """Return the ids of posts whose custom column has a value; see `search.custom_filter.ids_where`."""
        return ids_where(self._posts_table(), column, value)

    def places(self, ids: Sequence[str]) -> dict[str, int]:
        """Return the place in the table of each known post, as last read; a rewritten row gets a new place."""
        return self._posts.columns.places(ids)

    def thumbnail(self, key: str) -> SmallImage | None:
        """Read the thumbnail of the image with this SHA-256, or None; raise `WorldError` if that fails."""
        if not self._has(THUMBNAILS.name):
            return None
        found = self._table(THUMBNAILS.name).rows([key], ["webp", "width", "height"]).to_pylist()
        row = found[0] if found else {}
        return SmallImage(row["webp"], row.get("width"), row.get("height")) if row.get("webp") else None

    def newest(self, count: int) -> list[dict[str, Any]]:
        """Read the posts that were joined last, newest first, without vectors, as of a second or two ago."""
        # Otherwise it was updated a moment ago, or another thread is updating it now.
        if self._now() >= self._step_at and self._following.acquire(blocking=False):
            is_first, self._step_at = not self._step_at, self._now() + _LOOK_SECONDS
            if is_first:
                self._step()
            else:  # in the background, so that this call need not wait
                threading.Thread(target=self._step_aside, name="newest", daemon=True).start()
        return self.rows(self._posts.columns.joined_last(count))

    def neighbours(self, global_id: str, count: int) -> list[tuple[str, float]]:
        """Return the `count` posts with the most similar images to a post's, each with its cosine, nearest first.

        Soon after the start, the vectors of a large store are not in memory yet; then the store itself is searched.
        """
        self.catalogue()
        if self._posts.lacks_some:
            found = self._neighbours_in_store(global_id, count + 1)
        else:
            vector = self.looks.vector(global_id)
            (hits,) = [[]] if vector is None else self.looks.search(vector[None], count + 1)
            found = [(it.id, it.similarity) for it in hits]
        return [it for it in found if it[0] != global_id][:count]

    def _neighbours_in_store(self, global_id: str, count: int) -> list[tuple[str, float]]:
        (row,) = self.rows([global_id], [LOOKS]) or [{}]
        if row.get(LOOKS) is None:
            return []
        try:
            found = self._table(POSTS).nearest(LOOKS, np.array(row[LOOKS], np.float32), count, [])
        except UnsupportedError:  # a keyspace without an index: the vectors will be in memory in a moment
            return []
        return [(it["global_id"], it[COSINE]) for it in found]

    def wait_until_loaded(self) -> None:
        """Wait until words and embeddings of all posts are in memory, as a search needs; may raise `WorldError`."""
        self.catalogue()
        if self._posts.lacks_some:
            with self._following:
                read_latest(self._posts.read_later)

    def exemplars(self, clusters: Sequence[int]) -> dict[int, PostLine]:
        """Return the exemplar of each cluster: the post nearest the centroid of its first ones.

        Raises:
            WorldError: The store cannot be read.
        """
        catalogue = self.catalogue()
        found: dict[int, PostLine] = {}
        unknown: dict[int, tuple[str, ...]] = {}
        for cluster in clusters:
            members = _members(catalogue, cluster)
            known = self._exemplars.get(cluster)
            if known is not None and known[0] == members and known[1] in catalogue.by_id:
                found[cluster] = catalogue.by_id[known[1]]
            elif members:
                unknown[cluster] = members
        for cluster, members in unknown.items():
            best = self._medoid(members)
            if not self._posts.lacks_some:  # otherwise it is a guess, since vectors are missing
                with self._lock:
                    self._exemplars[cluster] = members, best
            if best in catalogue.by_id:
                found[cluster] = catalogue.by_id[best]
        return found

    def _medoid(self, members: Sequence[str]) -> str:
        vectors = {it: vector for it in members if (vector := self.looks.vector(it)) is not None}
        if not vectors:
            return members[0]
        points = np.array(list(vectors.values()))
        return list(vectors)[int(((points - points.mean(axis=0)) ** 2).sum(axis=1).argmin())]

    def history(self, cluster: int) -> list[dict[str, Any]]:
        """Read the rows of the table of clusters about a cluster: its own, those merged into it or split from it."""
        if not self._has(CLUSTERS.name):
            return []
        table = self._table(CLUSTERS.name)
        keys = [it for it in ("cluster", "into", "split_from") if it in table.schema.names]
        tables = [table.to_arrow(table.schema.names, [Condition(it, "=", cluster)], limit=_KEYS) for it in keys]
        found = {row["cluster"]: row for some in tables for row in some.to_pylist()}
        rows = [{"split_from": None, "moved": None} | row for row in found.values()]
        return sorted(rows, key=lambda row: row["changed_time"] or "")

    def _step(self) -> None:
        """Read what has changed in posts; the caller has acquired `_following`, which this releases."""
        try:
            read_latest(self._posts.step)
        finally:
            self._following.release()

    def _step_aside(self) -> None:
        try:
            self._step()
        except WorldError as error:  # the last catalogue is served until the store can be read again
            log.warning("the store cannot be read at the moment", error=str(error))

    def _follow(self) -> None:
        try:
            start = self._now()
            with self._following:
                self._bring_up_to_date()
            self._give_back()
            with self._lock:
                self._look_at = self._now() + max(_LOOK_SECONDS, _REST * (self._now() - start))
        except WorldError as error:  # the last catalogue is served until the store can be read again
            log.warning("the store cannot be read at the moment", error=str(error))
        finally:
            self._is_reading = False

    def _give_back(self) -> None:
        """Return free memory to the system if the process has grown much: what was read is kept in smaller forms.

        Threads that allocate have to wait meanwhile. When done after each step, this was half the time of slow answers.
        """
        if resident_bytes() > self._resident + _MUCH:
            give_back_memory()
            self._resident = resident_bytes()

    def _bring_up_to_date(self) -> None:
        versions = self.versions()
        is_first = self._catalogue is None
        is_same = versions == self._versions and not self._posts.lacks_some and not self._posts.is_another
        if is_same and not is_first:
            return
        read_latest(self._posts.step)
        if not is_first:
            read_latest(self._posts.settle)
            read_latest(self._posts.read_later)
        if versions.get(CLUSTERS.name) != self._became[0] and POSTS in versions:
            self._became = versions.get(CLUSTERS.name), merges_of(self.store), states_of(self.store)
        self._catalogue = Catalogue(self._posts.columns, self._became[1], self._became[2], self.window)
        self._versions = versions

    def _model(self, column: str, stage: str) -> str:
        """Return the model of a column of vectors; empty if there are none yet."""
        if not self._models.get(column) and self._has(POSTS):
            self._models[column] = model_of(self._table(POSTS), column, stage)
        return self._models.get(column, "")

    def _posts_table(self) -> TableReader | None:
        return self._table(POSTS) if self._has(POSTS) else None

    def _has(self, name: str) -> bool:
        return self.store.has(name)

    def _table(self, name: str) -> TableReader:
        """Return an open table, at most `_FRESH_SECONDS` old; opening it anew took a tenth of the time of an answer."""
        with self._opening:
            known = self._tables.get(name)
            now = self._now()
            identity = self.store.identity(name)
            if known is None or known.identity != identity:
                known = self._tables[name] = _Opened(identity, self.store.table(name), now + _FRESH_SECONDS)
            is_due = now >= known.look_at
            if is_due:
                known.look_at = now + _FRESH_SECONDS
        if is_due:  # other threads use the old version meanwhile
            with suppress(WorldError):  # reading from the table will raise it
                known.table.refresh()
        return known.table


def _members(catalogue: Catalogue, cluster: int) -> tuple[str, ...]:
    found = catalogue.cluster_of(cluster)
    return tuple(found.first_own(_MEMBERS)) if found is not None else ()

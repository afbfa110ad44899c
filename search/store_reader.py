"""A store as its readers see it while it is written: posts, clusters and small images, without a model or a lock."""

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
"""Columns that no reader looks at."""
_LOOK_SECONDS: Final = 1.0
_FRESH_SECONDS: Final = 0.2
"""How old what is read of a table may be."""
_REST: Final = 5
"""The catalogue is made again after so many times what making it took: that costs a fifth of a core at most."""
_MEMBERS: Final = 24
"""Posts of a cluster among which its exemplar is looked for, the first that came: so it stays what it is."""
_EXEMPLARS: Final = 20_000
"""Clusters whose exemplar is remembered."""
_MUCH: Final = 24 * 2**20
"""Bytes that came since memory was last given back."""
_KEYS: Final = 500
"""In one condition."""


@dataclass(slots=True)
class _Opened:
    """A table that is open."""

    identity: Hashable
    table: TableReader
    look_at: float
    """When it is brought to its latest version again."""


@dataclass(frozen=True, slots=True)
class SmallImage:
    """An image made small."""

    webp: bytes
    width: int | None
    """Pixels of the image that was read, within which the boxes of its lines are; None where that was not kept."""
    height: int | None


class StoreReader:
    """Reads a store that others write; for any number of threads.

    Lists come from a catalogue in memory, which follows the store in the background; a post, its image and its
    neighbours are read when they are asked for.

    Args:
        store: The store, or its folder; it need not hold any table yet.
        window: What counts as recent, of clusters.
        now: A clock that never goes back, in seconds.
    """

    def __init__(
        self, store: StorePlace, window: timedelta = timedelta(days=1), now: Callable[[], float] = time.monotonic
    ) -> None:
        self.store = tables_of(store)
        self.window = window
        self._now = now
        self._lock = threading.Lock()
        self._following = threading.Lock()
        """Who has it changes what is followed."""
        self._catalogue: Catalogue | None = None
        self._versions: dict[str, Hashable] = {}
        self._look_at = 0.0
        self._step_at = 0.0
        self._is_reading = False
        self._posts = FollowedPosts(self.store)
        self.looks = FollowedVectors(
            lambda: self._posts.columns, lambda it: it.looks, lambda: self._model(LOOKS, "embedding")
        )
        """Posts by their images."""
        self.meaning = FollowedVectors(
            lambda: self._posts.columns, lambda it: it.meaning, lambda: self._model(MEANING, "text_embedding")
        )
        """Posts by their texts."""
        self._models: dict[str, str] = {}
        self._became: tuple[Hashable, Merges, dict[int, str]] = (None, Merges(), {})
        """The version of the table of clusters, and what it says."""
        self._exemplars: BoundedDict[int, tuple[tuple[str, ...], str]] = BoundedDict(_EXEMPLARS)
        self._tables: dict[str, _Opened] = {}
        self._opening = threading.Lock()
        self._resident = 0
        """Bytes that the process had when memory was last given back."""

    def catalogue(self) -> Catalogue:
        """The posts as they were a moment ago; the first to ask waits. Raises `WorldError` where it cannot be read."""
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
        """Read now what has changed. Raises `WorldError` where it cannot be read."""
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
        """The version of each table that there is."""
        names = (POSTS, CLUSTERS.name, THUMBNAILS.name)
        there = [it for it in names if self._has(it)]
        return {it: self._table(it).refresh() for it in there}

    def catalogued(self) -> dict[str, Hashable]:
        """The version of each table that the catalogue was read from."""
        return dict(self._versions)

    def post(self, global_id: str) -> dict[str, Any] | None:
        """A row of posts without its vectors; None where there is none. Raises `WorldError`."""
        found = self.rows([global_id])
        return found[0] if found else None

    def rows(self, ids: Sequence[str], columns: Iterable[str] | None = None) -> list[dict[str, Any]]:
        """Rows of posts in the order of `ids`, without vectors unless these are among `columns`; those that exist."""
        if not ids or not self._has(POSTS):
            return []
        table = self._table(POSTS)
        there = table.schema.names
        wanted = [it for it in (columns or there) if it in there and (columns or it not in VECTORS)]
        # By their places as they were last seen, which takes a tenth of the time; places are never used again.
        found = table.rows(ids, wanted, self._posts.columns.places(ids)).to_pylist()
        by_id = {row["global_id"]: dict.fromkeys(columns or ()) | row for row in found}
        return [by_id[it] for it in dict.fromkeys(ids) if it in by_id]

    def custom_columns(self) -> dict[str, str]:
        """The custom columns that posts have, with their types as Arrow calls them. Raises `WorldError`."""
        return custom_columns(self._posts_table())

    def ids_where(self, column: str, value: str) -> frozenset[str]:
        """Ids of posts whose custom column has a value; raises as `search.custom_filter.ids_where` does."""
        return ids_where(self._posts_table(), column, value)

    def places(self, ids: Sequence[str]) -> dict[str, int]:
        """Where each of some posts was when the catalogue last looked: a row that is written anew has another place."""
        return self._posts.columns.places(ids)

    def thumbnail(self, key: str) -> SmallImage | None:
        """The image with this SHA-256; None where the store has none. Raises `WorldError`."""
        if not self._has(THUMBNAILS.name):
            return None
        found = self._table(THUMBNAILS.name).rows([key], ["webp", "width", "height"]).to_pylist()
        row = found[0] if found else {}
        return SmallImage(row["webp"], row.get("width"), row.get("height")) if row.get("webp") else None

    def newest(self, count: int) -> list[dict[str, Any]]:
        """The rows that were joined last, newest first, without vectors: as of a second or two ago."""
        # Else it was brought up to date a moment ago, or is so just now.
        if self._now() >= self._step_at and self._following.acquire(blocking=False):
            is_first, self._step_at = not self._step_at, self._now() + _LOOK_SECONDS
            if is_first:
                self._step()
            else:  # nobody waits for it
                threading.Thread(target=self._step_aside, name="newest", daemon=True).start()
        return self.rows(self._posts.columns.joined_last(count))

    def neighbours(self, global_id: str, count: int) -> list[tuple[str, float]]:
        """The posts whose images look the most like that of a post, with their cosine: the nearest first.

        Soon after the start of a large store its vectors are not here yet: the store itself is asked.
        """
        self.catalogue()
        if self._posts.lacks_some:
            found = self._neighbours_there(global_id, count + 1)
        else:
            vector = self.looks.vector(global_id)
            (hits,) = [[]] if vector is None else self.looks.search(vector[None], count + 1)
            found = [(it.id, it.similarity) for it in hits]
        return [it for it in found if it[0] != global_id][:count]

    def _neighbours_there(self, global_id: str, count: int) -> list[tuple[str, float]]:
        (row,) = self.rows([global_id], [LOOKS]) or [{}]
        if row.get(LOOKS) is None:
            return []
        try:
            found = self._table(POSTS).nearest(LOOKS, np.array(row[LOOKS], np.float32), count, [])
        except UnsupportedError:  # a keyspace without an index: its vectors are here a moment later
            return []
        return [(it["global_id"], it[COSINE]) for it in found]

    def whole(self) -> None:
        """Wait until words, looks and meaning of all posts were read, as a search needs them. Raises `WorldError`."""
        self.catalogue()
        if self._posts.lacks_some:
            with self._following:
                read_latest(self._posts.read_later)

    def exemplars(self, clusters: Sequence[int]) -> dict[int, PostLine]:
        """Of each cluster the post that is nearest the middle of its first ones. Raises `WorldError`."""
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
            best = self._middlemost(members)
            if not self._posts.lacks_some:  # else it is a guess
                with self._lock:
                    self._exemplars[cluster] = members, best
            if best in catalogue.by_id:
                found[cluster] = catalogue.by_id[best]
        return found

    def _middlemost(self, members: Sequence[str]) -> str:
        vectors = {it: vector for it in members if (vector := self.looks.vector(it)) is not None}
        if not vectors:
            return members[0]
        points = np.array(list(vectors.values()))
        return list(vectors)[int(((points - points.mean(axis=0)) ** 2).sum(axis=1).argmin())]

    def history(self, cluster: int) -> list[dict[str, Any]]:
        """What became of a cluster, as the table of clusters has it: rows of it, merged into it, and split from it."""
        if not self._has(CLUSTERS.name):
            return []
        table = self._table(CLUSTERS.name)
        own = [it for it in ("cluster", "into", "split_from") if it in table.schema.names]
        told = [table.whole(table.schema.names, [Condition(it, "=", cluster)], limit=_KEYS) for it in own]
        found = {row["cluster"]: row for some in told for row in some.to_pylist()}
        rows = [{"split_from": None, "moved": None} | row for row in found.values()]
        return sorted(rows, key=lambda row: row["changed_time"] or "")

    def _step(self) -> None:
        """Take in what came, as the one who may."""
        try:
            read_latest(self._posts.step)
        finally:
            self._following.release()

    def _step_aside(self) -> None:
        try:
            self._step()
        except WorldError as error:  # what was read before is shown until it can be read again
            log.warning("the store cannot be read just now", error=str(error))

    def _follow(self) -> None:
        try:
            start = self._now()
            with self._following:
                self._bring_up_to_date()
            self._give_back()
            with self._lock:
                self._look_at = self._now() + max(_LOOK_SECONDS, _REST * (self._now() - start))
        except WorldError as error:  # what was read before is shown until it can be read again
            log.warning("the store cannot be read just now", error=str(error))
        finally:
            self._is_reading = False

    def _give_back(self) -> None:
        """Give back memory where much was read, which is kept in other forms.

        Whoever needs memory meanwhile waits: done after each step, that was half of what slow answers took.
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
        """What made a column of vectors; empty where there is none yet."""
        if not self._models.get(column) and self._has(POSTS):
            self._models[column] = model_of(self._table(POSTS), column, stage)
        return self._models.get(column, "")

    def _posts_table(self) -> TableReader | None:
        return self._table(POSTS) if self._has(POSTS) else None

    def _has(self, name: str) -> bool:
        return self.store.has(name)

    def _table(self, name: str) -> TableReader:
        """A table as it was a moment ago, or is: to open it for each answer took a tenth of what readers wait for."""
        with self._opening:
            known = self._tables.get(name)
            now = self._now()
            identity = self.store.identity(name)
            if known is None or known.identity != identity:
                known = self._tables[name] = _Opened(identity, self.store.table(name), now + _FRESH_SECONDS)
            is_due = now >= known.look_at
            if is_due:
                known.look_at = now + _FRESH_SECONDS
        if is_due:  # others go on with it as it was
            with suppress(WorldError):  # what is asked of it will tell
                known.table.refresh()
        return known.table


def _members(catalogue: Catalogue, cluster: int) -> tuple[str, ...]:
    found = catalogue.cluster_of(cluster)
    return tuple(found.first_own(_MEMBERS)) if found is not None else ()

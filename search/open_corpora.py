"""Cache of the open corpora of a store: opened at first use, refreshed from then on."""

import time
from collections.abc import Callable
from typing import Self

from connectors.store.interface import StorePlace
from core.errors import BadRecordError, MemewaxError
from core.telemetry import log
from search.corpus import Corpus
from search.corpus_layout import POSTS
from search.corpus_store import corpus_folder, corpus_names, default_corpus, open_table
from search.index_choice import IndexChoice
from search.query import By
from search.reduction import projection_names
from search.search_settings import SearchSettings

IMAGES = "embeddings"
_BY_SIZE = IndexChoice()


class OpenCorpora:
    """Keeps corpora in memory and refreshes each at most every `refresh_seconds`. Not thread-safe."""

    def __init__(
        self,
        store: StorePlace,
        refresh_seconds: float,
        index: IndexChoice = _BY_SIZE,
        now: Callable[[], float] = time.monotonic,
        reduced: str = "",
    ) -> None:
        """Make an empty cache; corpora that have the reduction `reduced` are searched by its shorter vectors."""
        self._store = store
        self._index = index
        self._refresh_seconds = refresh_seconds
        self._now = now
        self._reduced = reduced
        self._open: dict[tuple[str, By], Corpus] = {}
        self._looked: dict[tuple[str, By], float] = {}
        self._usual = ""

    @classmethod
    def of(cls, settings: SearchSettings, store: StorePlace | None = None) -> Self:
        """Make the cache of a store; None for the store that the settings name."""
        reduced = settings.index_reduced
        return cls(store or settings.store, settings.corpus_refresh_seconds, IndexChoice.of(settings), reduced=reduced)

    def open_all(self) -> dict[str, int]:
        """Open all corpora that exist, so that the first query does not wait; return the number of rows of each."""
        rows = {}
        for name in corpus_names(self._store):
            try:
                rows[name] = self.get(name).count()
            except (MemewaxError, KeyError) as error:  # a query to it is answered with the error
                log.warning("corpus cannot be opened", corpus=name, error=str(error))
        return rows

    def get(self, name: str, by: By = "text") -> Corpus:
        """Return a corpus as it was at most `refresh_seconds` ago; an empty name means the default corpus.

        Raises:
            WorldError: There is no such corpus (the message lists the others).
            BadRecordError: It is searched by image, but has none.
        """
        name = self.resolve_name(name)
        if by == "image" and name != POSTS:
            raise BadRecordError(f"corpus {name!r} has no images: search {POSTS!r} by image")
        place = name, by
        corpus = self._open.get(place)
        if corpus is None:
            open_table(self._store, name)  # checks that the corpus exists before its name becomes part of a path
            vectors = IMAGES if by == "image" else None
            has_it = by == "text" and self._reduced in projection_names(corpus_folder(self._store, name))
            reduced = self._reduced if has_it else None
            corpus = self._open[place] = Corpus.open(self._store, name, vectors, self._index, reduced)
            self._looked[place] = self._now()
        elif self._now() - self._looked[place] >= self._refresh_seconds:
            self._refresh(place, corpus)
            self._looked[place] = self._now()
        return corpus

    def resolve_name(self, name: str) -> str:
        """Return the name, or the default corpus for an empty one; the default is chosen once and then stays."""
        if name:
            return name
        if not self._usual:
            name = default_corpus(self._store)
            open_table(self._store, name)
            self._usual = name
        return self._usual

    def _refresh(self, place: tuple[str, By], corpus: Corpus) -> None:
        try:
            corpus.refresh()
        except BaseException:
            del self._open[place]  # dropped, or half refreshed: the next query opens it again
            raise

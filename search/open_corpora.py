"""The corpora of a store, opened when they are first asked for and followed from then on."""

import time
from collections.abc import Callable
from typing import Self

from connectors.store.interface import StorePlace
from core.errors import BadRecordError, MemewaxError
from core.telemetry import log
from search.corpus import Corpus
from search.corpus_layout import POSTS
from search.corpus_store import beside, corpus_names, open_table, usual_corpus
from search.index_choice import IndexChoice
from search.query import By
from search.reduction import projection_names
from search.search_settings import SearchSettings

IMAGES = "embeddings"
_BY_SIZE = IndexChoice()


class OpenCorpora:
    """Keeps corpora in memory and has each look at its table again after `refresh_seconds`; for one thread."""

    def __init__(
        self,
        store: StorePlace,
        refresh_seconds: float,
        index: IndexChoice = _BY_SIZE,
        now: Callable[[], float] = time.monotonic,
        reduced: str = "",
    ) -> None:
        """`reduced` names a reduction: corpora that have it are searched by its shorter vectors."""
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
        """Those of a store, or where it is None, of the settings' one."""
        reduced = settings.index_reduced
        return cls(store or settings.store, settings.corpus_refresh_seconds, IndexChoice.of(settings), reduced=reduced)

    def open_all(self) -> dict[str, int]:
        """Read what is there already, so that the first to ask does not wait for it; rows of each corpus."""
        rows = {}
        for name in corpus_names(self._store):
            try:
                rows[name] = self.get(name).count()
            except (MemewaxError, KeyError) as error:  # whoever asks for it is told
                log.warning("corpus cannot be opened", corpus=name, error=str(error))
        return rows

    def get(self, name: str, by: By = "text") -> Corpus:
        """The corpus as it was at most `refresh_seconds` ago; where no name is given, the usual one.

        Raises `WorldError` where it is not there, naming those that are, and `BadRecordError` where it has no images.
        """
        name = self.meant(name)
        if by == "image" and name != POSTS:
            raise BadRecordError(f"corpus {name!r} has no images; only {POSTS!r} has")
        place = name, by
        corpus = self._open.get(place)
        if corpus is None:
            open_table(self._store, name)  # refuses a name that is none, before it becomes part of a path
            vectors = IMAGES if by == "image" else None
            has_it = by == "text" and self._reduced in projection_names(beside(self._store, name))
            reduced = self._reduced if has_it else None
            corpus = self._open[place] = Corpus.open(self._store, name, vectors, self._index, reduced)
            self._looked[place] = self._now()
        elif self._now() - self._looked[place] >= self._refresh_seconds:
            self._refresh(place, corpus)
            self._looked[place] = self._now()
        return corpus

    def meant(self, name: str) -> str:
        """The corpus of a name; of those who name none, the usual one: once it was there it stays the same."""
        if name:
            return name
        if not self._usual:
            name = usual_corpus(self._store)
            open_table(self._store, name)
            self._usual = name
        return self._usual

    def _refresh(self, place: tuple[str, By], corpus: Corpus) -> None:
        try:
            corpus.refresh()
        except BaseException:
            del self._open[place]  # gone, or amid a change: opened anew when it is asked for again
            raise

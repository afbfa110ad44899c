"""The page's search: the one place that knows how a search is done."""

import threading
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.errors import MemewaxError
from dataflows.all_settings import Settings
from search.answering import Embedders, embed, load_embedders, search
from search.corpus_layout import POSTS
from search.open_corpora import OpenCorpora
from search.query import Query

MOST: Final = 100
"""Hits that one may ask for."""
LONGEST_QUERY: Final = 500
"""Characters."""


@dataclass(frozen=True, slots=True)
class PageHit:
    """A post that was found."""

    global_id: str
    score: float
    """The higher, the better; -1 to 1."""
    why: str


@dataclass(frozen=True, slots=True)
class PageHits:
    """What a search found."""

    hits: tuple[PageHit, ...]
    """The best first."""
    error: str = ""
    """Why nothing could be looked for."""
    searched: str = "the words of posts and of their pictures, by meaning"


class PageSearch:
    """Finds posts by words; loads its model when somebody asks for the first time. For any number of threads."""

    def __init__(self, settings: Settings, store: Path) -> None:
        self._settings = settings.model_copy(update={"store": store, "corpus": POSTS})
        self._lock = threading.Lock()
        self._models: Embedders | None = None
        self._corpora: OpenCorpora | None = None

    def find(self, words: str, k: int) -> PageHits:
        """The `k` posts that words fit best."""
        with self._lock:
            try:
                if self._models is None or self._corpora is None:
                    self._corpora = OpenCorpora.of(self._settings)
                    self._models = load_embedders(self._settings, images=False)
                query = Query(uuid.uuid4().hex, words[:LONGEST_QUERY], POSTS, min(k, MOST))
                (answer,) = search(embed([query], self._models), self._corpora)
            except MemewaxError as error:
                return PageHits((), str(error))
        if answer.error is not None:
            return PageHits((), answer.error.reason)
        return PageHits(tuple(PageHit(it.id, it.similarity, f"{it.similarity:.2f} alike") for it in answer.hits))

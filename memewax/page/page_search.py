"""The page's search: the one place that knows how a search is done."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.errors import MemewaxError
from dataflows.all_settings import Settings
from search.answering import Embedders, load_embedders
from search.corpus_layout import POSTS
from search.open_corpora import OpenCorpora
from search.post_search import FoundPost, PostSearch

MOST: Final = 100
"""Hits that one may ask for."""
LONGEST_QUERY: Final = 500
"""Characters."""
_EXACT: Final = 20_000
"""Posts up to which all are compared: many readers ask beside a flow."""
_BY_BOTH: Final = "captions and what was read in pictures, by words and by meaning"
_BY_MEANING: Final = "captions and what was read in pictures, by meaning alone"
"""In a store of an earlier version, which has no index of words."""


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
    """The best first; none where nothing certain was found."""
    error: str = ""
    """Why nothing could be looked for."""
    weak: tuple[PageHit, ...] = ()
    """What might be meant."""
    searched: str = _BY_BOTH


class PageSearch:
    """Finds posts by words and meaning; its model is loaded when somebody first asks. For any number of threads."""

    def __init__(self, settings: Settings, store: Path) -> None:
        changed = {"store": store, "corpus": POSTS, "index_exact_rows": min(settings.index_exact_rows, _EXACT)}
        # One text at a time is as quick without a GPU, and to look for one takes 200 MB.
        changed |= {"device": "cpu"} if settings.device == "auto" else {}
        self._settings = settings.model_copy(update=changed)
        self._lock = threading.Lock()
        self._models: Embedders | None = None
        self._corpora: OpenCorpora | None = None
        self._posts: PostSearch | None = None

    def find(self, words: str, k: int) -> PageHits:
        """The `k` posts that words fit best, and as many that might be meant."""
        with self._lock:
            try:
                if self._models is None or self._corpora is None:
                    self._corpora = OpenCorpora.of(self._settings)
                    self._models = load_embedders(self._settings, images=False)
                corpus = self._corpora.get(POSTS)  # as it is now
                if self._posts is None or self._posts.corpus is not corpus:
                    self._posts = PostSearch.of(
                        corpus, self._settings.store, self._models.text, self._settings.corpus_refresh_seconds
                    )
                found = self._posts.search(words[:LONGEST_QUERY], min(k, MOST))
            except MemewaxError as error:
                return PageHits((), str(error))
        searched = _BY_BOTH if found.by_words else _BY_MEANING
        return PageHits(_shown(found.strong), weak=_shown(found.weak), searched=searched)


def _shown(posts: Sequence[FoundPost]) -> tuple[PageHit, ...]:
    return tuple(PageHit(it.hit.id, it.hit.similarity, f"{it.match}, {it.hit.similarity:.2f} alike") for it in posts)

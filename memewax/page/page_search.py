"""The page's search: the one place that knows how a search is done."""

import gc
import threading
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from core.errors import BadRecordError, MemewaxError, first_line
from core.records import Failure, Vector
from dataflows.all_settings import Settings
from models.base import Embedder
from search.answering import Embedders, load_embedders
from search.corpus_layout import POSTS
from search.image_search import ImageSearch, with_words
from search.post_search import FoundPost, FoundPosts, PostSearch, like_in_words
from search.row_cache import Filter
from search.store_reader import StoreReader
from search.words import WordIndex

MOST: Final = 100
"""Hits that one may ask for."""
LONGEST_QUERY: Final = 500
"""Characters."""
LikeBy = Literal["looks", "words"]
LIKE_BY: Final[tuple[LikeBy, ...]] = ("looks", "words")
_BY_BOTH: Final = "captions and what was read in images, by words and by meaning; not what the images show"
_BY_MEANING: Final = "captions and what was read in images, by meaning alone; not what the images show"
"""In a store that has no index of words: one of an earlier version, or in Cassandra."""
_BY_LOOKS: Final = "what the images look like; not their words"
_BY_LOOKS_AND_WORDS: Final = "what the images look like, and captions and what was read in them"


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """What is looked for: words, an image, both of them, or what is like a post."""

    words: str = ""
    image: bytes | None = None
    """A file."""
    like: str = ""
    """The `global_id` of a post; empty: of none."""
    by: LikeBy = "looks"
    """In what it is to be like that."""
    among: frozenset[str] | None = None
    """Posts that may be found; None: all."""


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
    """Finds posts by words, meaning and looks, among those that a reader follows; for any number of threads.

    A model is loaded when somebody first needs it, and runs for one at a time.
    """

    def __init__(self, settings: Settings, reader: StoreReader) -> None:
        # One at a time is as quick without a GPU, and to look for one takes 200 MB.
        changed = {"device": "cpu"} if settings.device == "auto" else {}
        settings = settings.model_copy(update=changed)
        self._reader = reader
        self._words = _WordSearch(settings, reader)
        self._looks = _LookSearch(settings, reader)

    def find(self, request: SearchRequest, k: int) -> PageHits:
        """The `k` posts that fit best, and as many that might be meant."""
        k = min(k, MOST)
        one = None if request.among is None else Filter(ids=request.among)
        by_looks = request.image is not None or (bool(request.like) and request.by == "looks")
        try:
            self._reader.whole()
            if request.image is not None and request.words:
                looks = self._looks.find(request, MOST, one)
                found = with_words(looks, self._words.find(request, MOST, one), k)
                searched = _BY_LOOKS_AND_WORDS
            elif by_looks:
                found, searched = self._looks.find(request, k, one), _BY_LOOKS
            else:
                found = self._words.find(request, k, one)
                searched = _BY_BOTH if found.by_words and not request.like else _BY_MEANING
        except MemewaxError as error:
            return PageHits((), first_line(error), searched=_BY_LOOKS if by_looks else _BY_BOTH)
        return PageHits(_shown(found.strong), weak=_shown(found.weak), searched=searched)


class _WordSearch:
    """Finds posts by words and by meaning."""

    def __init__(self, settings: Settings, reader: StoreReader) -> None:
        self._settings = settings
        self._reader = reader
        self._lock = threading.Lock()
        self._model: Embedder[str] | Failure | None = None
        self._words: tuple[Hashable, WordIndex] | None = None

    def find(self, request: SearchRequest, k: int, one: Filter | None) -> FoundPosts:
        """Raises `MemewaxError` saying why nothing can be looked for."""
        posts = self._reader.meaning
        if request.like:
            return like_in_words(posts, request.like, k, one)
        with self._lock:
            words = self._index()
            if self._model is None:
                self._model = load_embedders(self._settings, images=False).text
                gc.freeze()  # what is never garbage is no longer looked through, which stopped everybody for 0.2 s
            model = self._model
        name = "" if isinstance(model, Failure) else model.name
        return PostSearch(posts, words, self._embed, name).search(request.words[:LONGEST_QUERY], k, one)

    def _index(self) -> WordIndex:
        """The words of the table that is there now: one that was dropped and made anew is opened again."""
        identity = self._reader.store.identity(POSTS)
        if self._words is None or self._words[0] != identity:
            self._words = identity, WordIndex(self._reader.store, self._settings.corpus_refresh_seconds)
        return self._words[1]

    def _embed(self, text: str) -> Vector | Failure:
        model = self._model
        assert model is not None
        if isinstance(model, Failure):
            return model
        with self._lock:
            return model([text])[0]


class _LookSearch:
    """Finds posts by the looks of an image, or of that of a post."""

    def __init__(self, settings: Settings, reader: StoreReader) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._images = ImageSearch(reader.looks)
        self._models: Embedders | None = None

    def find(self, request: SearchRequest, k: int, one: Filter | None) -> FoundPosts:
        """Raises `MemewaxError` saying why nothing can be looked for, or what is wrong with the image."""
        if request.image is None:
            return self._images.like(request.like, k, one)
        with self._lock:
            if self._models is None:
                self._models = load_embedders(self._settings, images=True, texts=False)
                gc.freeze()
            model = self._models.image
            if isinstance(model, Failure):
                raise BadRecordError(f"the model of the images cannot be loaded: {model.reason}")
            try:
                pixels = self._models.decode(request.image)
            except Exception as error:  # of many kinds, Pillow's own
                raise BadRecordError(f"the image cannot be used: {first_line(error)}") from None
            (vector,) = model([pixels])
        if isinstance(vector, Failure):
            raise BadRecordError(f"the image cannot be embedded: {vector.reason}")
        return self._images.search(vector, model.name, k, one)


def _shown(posts: Sequence[FoundPost]) -> tuple[PageHit, ...]:
    return tuple(PageHit(it.hit.id, it.hit.similarity, f"{it.match}, {it.hit.similarity:.2f} alike") for it in posts)

"""The page's search by words, embeddings and images."""

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
"""Maximum hits of a search."""
LONGEST_QUERY: Final = 500
"""Maximum characters of the words."""
LikeBy = Literal["looks", "words"]
LIKE_BY: Final[tuple[LikeBy, ...]] = ("looks", "words")
_BY_BOTH: Final = "captions and text in images, by words and by meaning; not what the images show"
_BY_MEANING: Final = "captions and text in images, by meaning alone; not what the images show"
"""For a store without a full-text index: one of an earlier version, or in Cassandra."""
_BY_LOOKS: Final = "what the images look like; not their text"
_BY_LOOKS_AND_WORDS: Final = "what the images look like, captions, and text in images"


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """A search by words, by an image, by both, or by similarity to a post."""

    words: str = ""
    image: bytes | None = None
    """Bytes of an image file."""
    like: str = ""
    """The `global_id` of a post to be similar to; empty for none."""
    by: LikeBy = "looks"
    """Kind of similarity to that post."""
    among: frozenset[str] | None = None
    """Ids of posts to search; None for all."""


@dataclass(frozen=True, slots=True)
class PageHit:
    """A post that a search found."""

    global_id: str
    score: float
    """Similarity from -1 to 1, higher is better."""
    why: str


@dataclass(frozen=True, slots=True)
class PageHits:
    """The results of a search."""

    hits: tuple[PageHit, ...]
    """Certain hits, the best first."""
    error: str = ""
    """Why the search failed; empty if it did not."""
    weak: tuple[PageHit, ...] = ()
    """Uncertain hits."""
    searched: str = _BY_BOTH


class PageSearch:
    """Search of posts by words, sentence embeddings and image embeddings; thread-safe.

    A model is loaded at the first search that needs it, and runs for one search at a time.
    """

    def __init__(self, settings: Settings, reader: StoreReader) -> None:
        # For single queries a CPU is as fast, and probing for a GPU takes 200 MB.
        changed = {"device": "cpu"} if settings.device == "auto" else {}
        settings = settings.model_copy(update=changed)
        self._reader = reader
        self._words = _WordSearch(settings, reader)
        self._looks = _LookSearch(settings, reader)

    def find(self, request: SearchRequest, k: int) -> PageHits:
        """Return up to `k` certain and `k` weak hits; an error is in the result, not raised."""
        k = min(k, MOST)
        one = None if request.among is None else Filter(ids=request.among)
        by_looks = request.image is not None or (bool(request.like) and request.by == "looks")
        try:
            self._reader.wait_until_loaded()
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
    """Search by words and sentence embeddings."""

    def __init__(self, settings: Settings, reader: StoreReader) -> None:
        self._settings = settings
        self._reader = reader
        self._lock = threading.Lock()
        self._model: Embedder[str] | Failure | None = None
        self._words: tuple[Hashable, WordIndex] | None = None

    def find(self, request: SearchRequest, k: int, one: Filter | None) -> FoundPosts:
        """Find the `k` best posts; raises `MemewaxError` if the search is not possible."""
        posts = self._reader.meaning
        if request.like:
            return like_in_words(posts, request.like, k, one)
        with self._lock:
            words = self._index()
            if self._model is None:
                self._model = load_embedders(self._settings, images=False).text
                gc.freeze()  # exempt the model from garbage collection, which paused all threads for 0.2 s
            model = self._model
        name = "" if isinstance(model, Failure) else model.name
        return PostSearch(posts, words, self._embed, name).search(request.words[:LONGEST_QUERY], k, one)

    def _index(self) -> WordIndex:
        """Return the full-text index of the current table; open it again if the table was recreated."""
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
    """Search by image embeddings, of an uploaded image or of a post."""

    def __init__(self, settings: Settings, reader: StoreReader) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._images = ImageSearch(reader.looks)
        self._models: Embedders | None = None

    def find(self, request: SearchRequest, k: int, one: Filter | None) -> FoundPosts:
        """Find the `k` best posts; raises `MemewaxError` if the search is not possible or the image is invalid."""
        if request.image is None:
            return self._images.like(request.like, k, one)
        with self._lock:
            if self._models is None:
                self._models = load_embedders(self._settings, images=True, texts=False)
                gc.freeze()
            model = self._models.image
            if isinstance(model, Failure):
                raise BadRecordError(f"the image model cannot be loaded: {model.reason}")
            try:
                pixels = self._models.decode(request.image)
            except Exception as error:  # Pillow raises many kinds
                raise BadRecordError(f"the image cannot be decoded: {first_line(error)}") from None
            (vector,) = model([pixels])
        if isinstance(vector, Failure):
            raise BadRecordError(f"the image cannot be embedded: {vector.reason}")
        return self._images.search(vector, model.name, k, one)


def _shown(posts: Sequence[FoundPost]) -> tuple[PageHit, ...]:
    return tuple(
        PageHit(it.hit.id, it.hit.similarity, f"{it.match}, similarity {it.hit.similarity:.2f}") for it in posts
    )

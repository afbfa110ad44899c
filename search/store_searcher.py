"""Search of a store by words and meaning, by image or by vector, as `memewax ask` does."""

from contextlib import suppress
from typing import TYPE_CHECKING

from core.errors import MemewaxError
from search.answer import Answer
from search.answering import Embedders, embed, load_embedders, search
from search.corpus_layout import POSTS
from search.image_search import ImageSearch, answer_by_image
from search.indexed_posts import indexed_posts
from search.open_corpora import OpenCorpora
from search.post_search import PostSearch, answer_by_text
from search.query import By, Query
from search.search_settings import EmbedderSettings, SearchSettings

if TYPE_CHECKING:
    from connectors.store.interface import Store


class StoreSearcher:
    """Answers queries from a store with the models in this process. Not thread-safe.

    Args:
        store: The store to search.
        searching: Which corpus is the default, and how it is searched.
        embedding: Which models embed queries.
        images: Whether to load the image model, for queries by image.

    Queries fail one by one: `answer` reports a missing corpus or model as the answer's `error`.
    """

    def __init__(
        self, store: "Store", searching: SearchSettings, embedding: EmbedderSettings, *, images: bool = False
    ) -> None:
        self._store = store
        self._corpora = OpenCorpora.of(searching, store)
        by: By = "image" if images else "text"
        self._indexed = indexed_posts(store, by, lambda: self._corpora.get(POSTS, by))
        with suppress(MemewaxError):  # the first answer reports it
            if self._indexed is None or self._corpora.resolve_name(searching.corpus) != POSTS:
                self._corpora.get(searching.corpus, by)  # read now, so that the timing of an answer is the search alone
        self._models: Embedders = load_embedders(embedding, images=images)

    def answer(self, query: Query) -> Answer:
        """Answer one query.

        A text is searched for by words and meaning in posts, and by meaning in another corpus.

        Raises:
            MemewaxError: The posts cannot be read.
        """
        if query.text and query.by == "text" and self._corpora.resolve_name(query.corpus) == POSTS:
            posts = self._indexed or self._corpora.get(POSTS)
            return answer_by_text(query, PostSearch.of(posts, self._store, self._models.text))
        (embedded,) = embed([query], self._models)
        if isinstance(query.subject, bytes) and query.corpus == POSTS:
            return answer_by_image(embedded, ImageSearch(self._indexed or self._corpora.get(POSTS, query.by)))
        (answer,) = search([embedded], self._corpora)
        return answer

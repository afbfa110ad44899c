"""Generator of a realistic store: vectors, captions, clusters of all sizes, duplicates, thumbnails."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from PIL import Image

from connectors.sinks.cluster_events import CLUSTERS, row_of_event
from connectors.sinks.record_table import POSTS, THUMBNAILS
from connectors.sinks.sink import Row
from connectors.store.arrow_schema import arrow_schema
from connectors.store.keyed_table import KeyedTable
from connectors.store.posts_table import PostStore, posts_schema
from connectors.store.store_folder import opened
from connectors.store.stored_table import StoredTable
from core.records import ClusterEvent, Vector
from memewax.bench.grown_store import DIMENSION
from search.vector_index import FloatMatrix, unit

_POOL: Final = 4096
"""Number of distinct captions."""
_IMAGES: Final = 256
"""Number of distinct thumbnails; each post has its own row all the same."""
_SIDE: Final = 320
_AT_ONCE: Final = 16_384
_DAYS: Final = 90
"""Days over which the posts are spread."""
_BASIS: Final = 40
"""Number of vectors from which cluster centres are mixed."""
_NOISE: Final = 0.35
"""Norm of the noise added to the (unit) centre of a post's cluster."""
_COPIES: Final = 0.1
_SOURCES: Final = ("reddit", "bluesky", "mastodon", "tumblr", "imgur", "telegram")
_VOCABULARY: Final = 20_000
_SYLLABLES: Final = ("ba", "ke", "li", "mo", "nu", "ra", "se", "ti", "vo", "za", "dor", "fen", "gim", "hul", "pex")

EmbedTexts = Callable[[list[str]], Sequence[Vector]]


@dataclass(frozen=True, slots=True)
class SyntheticPosts:
    """Generator of realistic posts, deterministic in their numbers."""

    captions: list[str]
    text_vectors: FloatMatrix
    text_model: str
    image_model: str
    centres: FloatMatrix
    """Cluster centres, unit rows of shape (clusters, dimension), the largest cluster first."""
    images: list[bytes]
    """Thumbnails, as WebP."""
    now: datetime

    @classmethod
    def of(
        cls,
        clusters: int,
        captions: list[str],
        embed: EmbedTexts,
        text_model: str,
        image_model: str = "made-up",
        dimension: int = DIMENSION,
    ) -> "SyntheticPosts":
        """Draw captions, cluster centres and thumbnails.

        Args:
            clusters: Number of clusters; their sizes follow Zipf's law.
            captions: Real captions, whose halves are recombined; empty: texts of made-up words.
            embed: Embeds texts, one vector each.
            text_model: Name of the text model to record.
            image_model: Name of the image model to record.
            dimension: Embedding dimension of images.
        """
        random = np.random.default_rng(11)
        texts = _mixed_captions(captions, random) if captions else _made_captions(random)
        vectors = np.array(embed(texts), np.float32)
        basis = unit(random.normal(size=(_BASIS, dimension)).astype(np.float32))
        shares = random.dirichlet(np.ones(3), clusters).astype(np.float32)
        places = random.integers(0, len(basis), (clusters, 3))
        centres = unit(np.einsum("ck,ckd->cd", shares, basis[places]))
        return cls(texts, vectors, text_model, image_model, centres, _thumbnails(random), datetime.now(UTC))

    @property
    def dimension(self) -> int:
        """Return the embedding dimension of images."""
        return int(self.centres.shape[1])

    def table(self, start: int, count: int, *, thumbnails: int, is_new: bool = False) -> pa.Table:
        """Return posts as rows of the posts table.

        Args:
            start: Number of the first post.
            count: Number of posts.
            thumbnails: Posts below this number have a thumbnail.
            is_new: Whether the posts were created just now, not spread over the last 90 days.
        """
        random = np.random.default_rng([13, start])
        numbers = np.arange(start, start + count)
        # The size of the r-th largest cluster falls with 1/r (Zipf's law), as that of meme templates does.
        clusters = np.floor(len(self.centres) ** random.random(count)).astype(np.int64) - 1
        alone = random.random(count) < 0.2
        captions = random.integers(0, len(self.captions), count)
        noise = random.normal(size=(count, self.dimension)).astype(np.float32) / np.sqrt(self.dimension)
        vectors = unit(self.centres[clusters] + _NOISE * noise)
        clusters = np.where(alone, 10**7 + numbers, clusters)
        ids = [f"{number:08d}-{_SOURCES[number % len(_SOURCES)]}" for number in numbers]
        _, first, places = np.unique(clusters, return_index=True, return_inverse=True)
        copies = (random.random(count) < _COPIES) & (first[places] < np.arange(count))
        seconds = np.zeros(count) if is_new else random.random(count) * _DAYS * 86_400
        now = datetime.now(UTC) if is_new else self.now
        times = [(now - timedelta(seconds=it)).isoformat() for it in seconds]
        texts = [self.captions[it] for it in captions]
        columns: dict[str, Any] = {
            "global_id": ids,
            "author": [f"author{number * 7919 % 9973}" for number in numbers],
            "created_time": times,
            "description": [" ".join(text.split()[:5]) for text in texts],
            "score": numbers,
            "url": [f"https://images.example.org/{number}.jpg" for number in numbers],
            "source": [_SOURCES[number % len(_SOURCES)] for number in numbers],
            "joined_time": times,
            "cluster": clusters,
            "current_cluster": clusters,
            "duplicate_of": [ids[first[places[at]]] if copies[at] else None for at in range(count)],
            "text": texts,
            "text_as_read": texts,
            "text_clean": texts,
            "lines": [[{"text": text, "confidence": 0.9, "box": _BOX}] for text in texts],
            "embeddings": _vectors(vectors),
            "text_embedding": _vectors(self.text_vectors[captions]),
            "picture_sha256": [thumbnail_key(int(number)) if number < thumbnails else None for number in numbers],
            "post_id": ids,
            "revision": [1] * count,
            "missing": [[]] * count,
            "failures": [[]] * count,
            "timings": [{"fetch": 0.1}] * count,
            "models": [{"embedding": self.image_model, "text_embedding": self.text_model}] * count,
            "extra": [f'{{"permalink": "https://example.org/{it}"}}' for it in numbers],
        }
        schema = posts_schema(self.dimension, self.text_vectors.shape[1])
        arrays = [_array(columns.get(field.name), field.type, count) for field in schema]
        return pa.Table.from_arrays(arrays, schema=schema)

    def rows(self, start: int, count: int, *, thumbnails: int) -> list[Row]:
        """Return new posts as rows for a writer of the store."""
        rows = self.table(start, count, thumbnails=thumbnails, is_new=True).to_pylist()
        return [{**row, "extra": {}} for row in rows]

    def image(self, number: int) -> bytes:
        """Return the thumbnail of a post, as WebP."""
        return self.images[number % len(self.images)]


_BOX: Final = [[10.0, 10.0], [300.0, 10.0], [300.0, 50.0], [10.0, 50.0]]


def fill_store(folder: Path, posts: int, thumbnails: int, synthetic: SyntheticPosts) -> None:
    """Create a store with `posts` posts, the first `thumbnails` of them with a thumbnail; raises `WorldError`."""
    store = PostStore(folder, synthetic.dimension, synthetic.text_vectors.shape[1])
    table = opened(folder).open_table(POSTS)
    for start in range(0, posts, _AT_ONCE):
        table.add(synthetic.table(start, min(_AT_ONCE, posts - start), thumbnails=thumbnails))
    _add_thumbnails(folder, min(posts, thumbnails), synthetic)
    events = [ClusterEvent("birth", cluster) for cluster in range(len(synthetic.centres))]
    StoredTable(folder, CLUSTERS).upsert([row_of_event(event) for event in events])
    store.compact()


def _add_thumbnails(folder: Path, count: int, synthetic: SyntheticPosts) -> None:
    KeyedTable(folder, THUMBNAILS.name, THUMBNAILS.key, arrow_schema(THUMBNAILS))
    table = opened(folder).open_table(THUMBNAILS.name)
    sizes = [2 * _SIDE] * _AT_ONCE
    for start in range(0, count, _AT_ONCE):
        numbers = range(start, min(start + _AT_ONCE, count))
        columns = [[thumbnail_key(it) for it in numbers], [synthetic.image(it) for it in numbers]]
        columns += [sizes[: len(numbers)], sizes[: len(numbers)]]
        arrays = [pa.array(it, field.type) for it, field in zip(columns, table.schema, strict=True)]
        table.add(pa.Table.from_arrays(arrays, schema=table.schema))


def thumbnail_key(number: int) -> str:
    """Return the key of a post's thumbnail: a SHA-256 in hex."""
    return sha256(str(number).encode()).hexdigest()


def _array(values: Any, kind: pa.DataType, count: int) -> pa.Array:
    if values is None:
        return pa.nulls(count, kind)
    return values if isinstance(values, pa.Array) else pa.array(values, kind)


def _vectors(matrix: FloatMatrix) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(matrix.ravel()), matrix.shape[1])


def _mixed_captions(captions: list[str], random: np.random.Generator) -> list[str]:
    halves = [it.split() for it in captions]
    pairs = random.integers(0, len(halves), (_POOL, 2))
    made = [halves[a][: (len(halves[a]) + 1) // 2] + halves[b][len(halves[b]) // 2 :] for a, b in pairs]
    return [" ".join(words) or "nothing" for words in made]


def _made_captions(random: np.random.Generator) -> list[str]:
    """Return captions of made-up words, whose frequencies follow Zipf's law as in any language."""
    syllables = random.integers(0, len(_SYLLABLES), (_VOCABULARY, 4))
    words = ["".join(_SYLLABLES[it] for it in each[: 2 + each[0] % 3]) for each in syllables]
    lengths = random.integers(4, 16, _POOL)
    return [" ".join(words[int(it)] for it in np.floor(_VOCABULARY ** random.random(length)) - 1) for length in lengths]


def _thumbnails(random: np.random.Generator) -> list[bytes]:
    """Return WebP images that compress to the size of photographs: smooth, with some grain."""
    return [_webp(random) for _ in range(_IMAGES)]


def _webp(random: np.random.Generator) -> bytes:
    smooth = Image.fromarray(random.integers(0, 255, (6, 6, 3), np.uint8)).resize(
        (_SIDE, _SIDE), Image.Resampling.BICUBIC
    )
    grain = random.normal(0, 6, (_SIDE, _SIDE, 1))
    out = io.BytesIO()
    Image.fromarray(np.clip(np.asarray(smooth) + grain, 0, 255).astype(np.uint8)).save(out, "WEBP", quality=70)
    return out.getvalue()

"""What images of a store look like in few numbers, and which of them look the most alike."""

from collections.abc import Collection
from typing import Final

import faiss
import numpy as np

from search.exporting import Posts
from search.vector_index import FloatMatrix, RowNumbers, unit

_SAMPLE: Final = 5_000
"""Images that the axes are learned from."""
_DIMENSIONS: Final = 50
"""Principal components that images are compared by; the authors of t-SNE advise so many."""
_SEED: Final = 1


def reduced_images(posts: Posts, among: Collection[str] | None = None) -> tuple[list[str], FloatMatrix]:
    """Ids of posts whose image has an embedding, and its principal components, as unit vectors.

    The axes go through the middle of all images, since vectors of images have much in common.

    Args:
        posts: Of a store.
        among: Ids of those that are wanted; None: all.
    """
    sample = _sample(posts)
    if not len(sample):
        return [], np.zeros((0, 0), np.float32)
    centre = sample.mean(axis=0)
    axes = np.linalg.svd(sample - centre, full_matrices=False)[2][:_DIMENSIONS].T.astype(np.float32)
    ids: list[str] = []
    found = [np.zeros((0, axes.shape[1]), np.float32)]
    for names, vectors in posts.embeddings():
        kept = np.array([among is None or name in among for name in names], np.bool_)
        ids += [name for name, is_kept in zip(names, kept, strict=True) if is_kept]
        found.append(unit((vectors[kept] - centre) @ axes))
    return ids, np.concatenate(found)


def _sample(posts: Posts) -> FloatMatrix:
    """Some embeddings, evenly from all of them."""
    random = np.random.default_rng(_SEED)
    kept: list[FloatMatrix] = []
    seen = 0
    for _, vectors in posts.embeddings():
        for vector in vectors:  # reservoir sampling: each has the same chance
            seen += 1
            if len(kept) < _SAMPLE:
                kept.append(vector)
            elif (place := int(random.integers(seen))) < _SAMPLE:
                kept[place] = vector
    return np.array(kept, np.float32)


def nearest_others(points: FloatMatrix, count: int) -> tuple[RowNumbers, FloatMatrix]:
    """The nearest others of each point, shape (n, count), and their cosine distances; -1 where there are no more."""
    index = faiss.IndexFlatIP(points.shape[1])
    index.add(points)
    cosines, rows = index.search(points, count + 1)
    own = rows == np.arange(len(points))[:, None]
    own[~own.any(axis=1), -1] = True  # among copies it may not have found itself
    kept = ~own
    shape = (len(points), count)
    return rows[kept].reshape(shape), (1 - cosines[kept]).clip(0, 2).reshape(shape)

"""Principal components of a store's image embeddings, and nearest neighbours among them."""

from collections.abc import Collection
from typing import Final

import faiss
import numpy as np

from search.exporting import Posts
from search.vector_index import FloatMatrix, RowNumbers, unit

_SAMPLE: Final = 5_000
"""Images that the principal components are computed from."""
_DIMENSIONS: Final = 50
"""Number of principal components, as the authors of t-SNE advise."""
_SEED: Final = 1


def reduced_images(posts: Posts, among: Collection[str] | None = None) -> tuple[list[str], FloatMatrix]:
    """Project the image embeddings of posts to their principal components.

    The mean is subtracted first, since image embeddings have much in common.

    Args:
        posts: Posts of a store.
        among: Ids of the posts to include; None for all.

    Returns:
        The ids of posts with an image embedding, and their unit vectors, shape (n, at most 50), float32.
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
    """Draw a uniform sample of embeddings: shape (at most 5,000, dimension)."""
    random = np.random.default_rng(_SEED)
    kept: list[FloatMatrix] = []
    seen = 0
    for _, vectors in posts.embeddings():
        for vector in vectors:  # reservoir sampling: each vector has the same chance
            seen += 1
            if len(kept) < _SAMPLE:
                kept.append(vector)
            elif (place := int(random.integers(seen))) < _SAMPLE:
                kept[place] = vector
    return np.array(kept, np.float32)


def nearest_others(points: FloatMatrix, count: int) -> tuple[RowNumbers, FloatMatrix]:
    """Find the nearest neighbours of each point without the point itself.

    Args:
        points: Unit vectors, shape (n, dimension).
        count: Neighbours per point.

    Returns:
        Rows, shape (n, count), padded with -1, and their cosine distances, 0 to 2, of the same shape.
    """
    index = faiss.IndexFlatIP(points.shape[1])
    index.add(points)
    cosines, rows = index.search(points, count + 1)
    own = rows == np.arange(len(points))[:, None]
    own[~own.any(axis=1), -1] = True  # a point that has copies may not have found itself
    kept = ~own
    shape = (len(points), count)
    return rows[kept].reshape(shape), (1 - cosines[kept]).clip(0, 2).reshape(shape)

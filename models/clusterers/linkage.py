"""Average-linkage clustering of groups of unit vectors, from the sum of each group."""

from collections.abc import Iterator

import numpy as np

from models.arrays import Float32Array, Float64Array, Int64Array


def group_sums(points: Float32Array, slots: Int64Array, groups: int) -> Float64Array:
    """Sum the points of each group.

    Args:
        points: Shape (n, dimension).
        slots: The group of each point, shape (n,), 0 to groups - 1; every group has at least one.
        groups: How many groups there are.

    Returns:
        Shape (groups, dimension).
    """
    order = np.argsort(slots, kind="stable")
    starts = np.searchsorted(slots[order], np.arange(groups))
    sums: Float64Array = np.add.reduceat(points[order].astype(np.float64), starts, axis=0)
    return sums


def average_linkage(sums: Float64Array, sizes: Int64Array, threshold: float) -> Iterator[tuple[int, int]]:
    """Merge the two most similar groups, until no similarity exceeds `threshold`.

    The similarity of two groups is the mean cosine over all pairs of their members. For unit vectors, that is the dot
    product of the groups' means.

    Args:
        sums: Sum of the unit vectors of each group, shape (groups, dimension).
        sizes: Members of each group, shape (groups,).
        threshold: Mean cosine, -1 to 1.

    Yields:
        Merges as (group that stays, group that is merged into it); the first is the smaller.

    References:
        Sokal, Michener: A statistical method for evaluating systematic relationships. 1958 (average linkage).
    """
    means, counts = sums / sizes[:, None], sizes.astype(np.float64)
    similar = means @ means.T
    np.fill_diagonal(similar, -np.inf)
    while similar.size and similar.max() > threshold:
        stays, goes = sorted(divmod(int(similar.argmax()), len(means)))
        total = counts[stays] + counts[goes]
        means[stays] = (means[stays] * counts[stays] + means[goes] * counts[goes]) / total
        counts[stays] = total
        merged = np.isneginf(similar[stays])
        row = means @ means[stays]
        row[merged] = -np.inf
        similar[stays], similar[:, stays] = row, row
        similar[goes] = similar[:, goes] = -np.inf
        similar[stays, stays] = -np.inf
        yield stays, goes

"""Which groups of points are one: average linkage, from what each group sums up to."""

from collections.abc import Iterator

import numpy as np

from models.clusterers.exemplars import Floats, Numbers, Points


def group_sums(points: Points, slots: Numbers, groups: int) -> Floats:
    """The sum of the points of each group, shape (groups, dimension)."""
    order = np.argsort(slots, kind="stable")
    starts = np.searchsorted(slots[order], np.arange(groups))
    sums: Floats = np.add.reduceat(points[order].astype(np.float64), starts, axis=0)
    return sums


def merges(sums: Floats, sizes: Numbers, least: float) -> Iterator[tuple[int, int]]:
    """Pairs of groups to put together, (stays, goes), the most similar first, until none is as similar as `least`.

    Of unit vectors, the mean cosine over all pairs between two groups is the product of the groups' means.

    References:
        Sokal, Michener: A statistical method for evaluating systematic relationships. 1958 (average linkage).
    """
    means, counts = sums / sizes[:, None], sizes.astype(np.float64)
    similar = means @ means.T
    np.fill_diagonal(similar, -np.inf)
    while similar.size and similar.max() > least:
        stays, goes = sorted(divmod(int(similar.argmax()), len(means)))
        together = counts[stays] + counts[goes]
        means[stays] = (means[stays] * counts[stays] + means[goes] * counts[goes]) / together
        counts[stays] = together
        gone = np.isneginf(similar[stays])
        row = means @ means[stays]
        row[gone] = -np.inf
        similar[stays], similar[:, stays] = row, row
        similar[goes] = similar[:, goes] = -np.inf
        similar[stays, stays] = -np.inf
        yield stays, goes

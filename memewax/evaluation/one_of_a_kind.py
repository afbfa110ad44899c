"""Figures for streams in which most images are one of a kind: of templates' posts and of the others apart."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.errors import WorldError
from memewax.evaluation.measures import Indices

Labels = NDArray[np.int64]
_Values = NDArray[np.float64]

QUARTERS: Final = 4
"""Parts of a stream, in order of arrival."""


@dataclass(frozen=True, slots=True)
class TrueGroups:
    """What each post truly is."""

    groups: Labels
    """Shape (posts,): one number a template, and one of its own for each singleton."""
    singleton: NDArray[np.bool_]
    """Shape (posts,): of no template, or of one that no other post has."""

    @classmethod
    def of(cls, templates: Sequence[str]) -> "TrueGroups":
        """That of posts with these templates, "" for none."""
        counts = Counter(templates)
        singleton = np.array([not name or counts[name] == 1 for name in templates], bool)
        groups = np.unique(np.array(templates, dtype=object).astype(str), return_inverse=True)[1].astype(np.int64)
        groups[singleton] = len(templates) + np.arange(len(templates))[singleton]
        return cls(np.unique(groups, return_inverse=True)[1].astype(np.int64), singleton)


@dataclass(frozen=True, slots=True)
class PostValues:
    """What each post contributes, NaN where it contributes nothing: each of shape (posts,)."""

    precision: _Values
    """Of a template's post: the share of its cluster that is of its template."""
    recall: _Values
    """Of a template's post: the share of its template that is in its cluster."""
    joined: _Values
    """Of a singleton: whether its cluster holds another post."""

    def means(self) -> "PostMeans":
        """Their means over the stream and over each quarter of it."""
        rows = {"bcubed_precision": self.precision, "bcubed_recall": self.recall, "singletons_joined": self.joined}
        n = len(self.precision)
        quarter = np.arange(n) * QUARTERS // max(1, n)
        for name, values in list(rows.items()):
            for number in range(QUARTERS):
                rows[f"quarter_{number + 1}.{name}"] = np.where(quarter == number, values, np.nan)
        return PostMeans(tuple(rows), np.stack(list(rows.values())))


@dataclass(frozen=True, slots=True)
class PostMeans:
    """Means of values of posts, quickly over many draws of them."""

    names: tuple[str, ...]
    values: _Values
    """Shape (names, posts), NaN for a post that does not count."""

    def over(self, indices: Indices) -> dict[str, float]:
        """Each mean over the posts of `indices`, NaN where none of them counts."""
        weights = np.bincount(indices, minlength=self.values.shape[1]).astype(np.float64)
        counted = ~np.isnan(self.values) @ weights
        sums = np.nan_to_num(self.values) @ weights
        means = np.divide(sums, counted, out=np.full(len(sums), np.nan), where=counted > 0)
        return dict(zip(self.names, means.tolist(), strict=True))


def post_values(truth: TrueGroups, labels: Labels, left_out: NDArray[np.intp]) -> PostValues:
    """BCubed precision and recall of each post of a template, and whether each singleton was joined to another post.

    Clusters are counted over all posts, so a singleton among a template's posts costs these precision. A pair of
    `left_out`, places of shape (pairs, 2), is neither wrong where it is joined nor missing where it is not.

    References:
        Amigó, Gonzalo, Artiles, Verdejo: A comparison of extrinsic clustering evaluation metrics based on formal
        constraints. Information Retrieval 12 (2009).
    """
    clusters = np.unique(labels, return_inverse=True)[1]
    cells = np.unique(np.stack([truth.groups, clusters]), axis=1, return_inverse=True)[1].ravel()
    shared, held, wanted = (np.bincount(it)[it].astype(np.float64) for it in (cells, clusters, truth.groups))
    pairs = np.unique(np.sort(left_out, axis=1), axis=0)
    one, other = pairs[pairs[:, 0] != pairs[:, 1]].T
    alike, together = truth.groups[one] == truth.groups[other], clusters[one] == clusters[other]
    for side in (one, other):
        np.subtract.at(held, side[together & ~alike], 1)
        np.subtract.at(wanted, side[alike & ~together], 1)
    of_template = ~truth.singleton
    return PostValues(
        precision=np.where(of_template, shared / held, np.nan),
        recall=np.where(of_template, shared / wanted, np.nan),
        joined=np.where(of_template, np.nan, held > 1),
    )


def stream_order(truth: TrueGroups, shuffle: int | None, share: float | None) -> list[int]:
    """Places of posts in the order in which they are to arrive.

    Args:
        truth: What they are.
        shuffle: Seed of their order; None: as given.
        share: Of templates' posts among all; of these or of the others as many are left out by chance as are too many.

    Raises:
        WorldError: where there are not posts of both kinds for such a share.
    """
    random = np.random.default_rng(shuffle or 0)
    of_template, others = np.flatnonzero(~truth.singleton), np.flatnonzero(truth.singleton)
    if share is not None:
        if (share > 0 and not len(of_template)) or (share < 1 and not len(others)):
            raise WorldError(
                f"a share of {share:g} needs posts of templates and others: found {len(of_template)} and {len(others)}"
            )
        if len(of_template) > share * len(truth.groups):
            of_template = random.choice(of_template, round(share * len(others) / (1 - share)), replace=False)
        else:
            others = random.choice(others, round((1 - share) * len(of_template) / share), replace=False)
    places = np.sort(np.concatenate([of_template, others]))
    if not len(places):
        raise WorldError(f"a share of {share:g} leaves no post")
    chosen: list[int] = (places if shuffle is None else random.permutation(places)).tolist()
    return chosen

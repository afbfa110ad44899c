"""Figures for streams in which most images are unique: template posts and singletons are measured separately."""

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
"""Parts of a stream, in order of arrival, that are also measured separately."""


@dataclass(frozen=True, slots=True)
class TrueGroups:
    """True partition of posts."""

    groups: Labels
    """Shape (posts,): one number per template, and a unique number for each singleton."""
    singleton: NDArray[np.bool_]
    """Shape (posts,): the post has no template, or is the only one of its template."""

    @classmethod
    def of(cls, templates: Sequence[str]) -> "TrueGroups":
        """Group posts by template; "" means no template."""
        counts = Counter(templates)
        singleton = np.array([not name or counts[name] == 1 for name in templates], bool)
        groups = np.unique(np.array(templates, dtype=object).astype(str), return_inverse=True)[1].astype(np.int64)
        groups[singleton] = len(templates) + np.arange(len(templates))[singleton]
        return cls(np.unique(groups, return_inverse=True)[1].astype(np.int64), singleton)


@dataclass(frozen=True, slots=True)
class PostValues:
    """Per-post values of the measures: each of shape (posts,), NaN for posts that do not count."""

    precision: _Values
    """For template posts: share of the post's cluster that has its template."""
    recall: _Values
    """For template posts: share of the post's template that is in its cluster."""
    joined: _Values
    """For singletons: 1 if the post's cluster has another post, otherwise 0."""

    def means(self) -> "PostMeans":
        """Prepare the means over the whole stream and over each quarter of it."""
        rows = {"bcubed_precision": self.precision, "bcubed_recall": self.recall, "singletons_joined": self.joined}
        n = len(self.precision)
        quarter = np.arange(n) * QUARTERS // max(1, n)
        for name, values in list(rows.items()):
            for number in range(QUARTERS):
                rows[f"quarter_{number + 1}.{name}"] = np.where(quarter == number, values, np.nan)
        return PostMeans(tuple(rows), np.stack(list(rows.values())))


@dataclass(frozen=True, slots=True)
class PostMeans:
    """Means of per-post values, fast for many bootstrap draws."""

    names: tuple[str, ...]
    values: _Values
    """Shape (names, posts), NaN for a post that does not count."""

    def over(self, indices: Indices) -> dict[str, float]:
        """Compute each mean over the posts of `indices`; NaN if none of them counts."""
        weights = np.bincount(indices, minlength=self.values.shape[1]).astype(np.float64)
        counted = ~np.isnan(self.values) @ weights
        sums = np.nan_to_num(self.values) @ weights
        means = np.divide(sums, counted, out=np.full(len(sums), np.nan), where=counted > 0)
        return dict(zip(self.names, means.tolist(), strict=True))


def post_values(truth: TrueGroups, labels: Labels, left_out: NDArray[np.intp]) -> PostValues:
    """Compute BCubed precision and recall of each template post, and whether each singleton was joined to another post.

    Clusters are counted over all posts, so a singleton in a template's cluster costs precision.

    Args:
        truth: True partition of the posts.
        labels: Cluster of each post, shape (posts,).
        left_out: Positions of pairs to ignore, shape (pairs, 2): they count neither as wrong nor as missing.

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
    """Choose and order the posts of a stream.

    Args:
        truth: True partition of the posts.
        shuffle: Seed of the order; None to keep it.
        share: Share of template posts to reach by dropping posts of either kind at random; None to keep all.

    Returns:
        Positions of the posts, in order of arrival.

    Raises:
        WorldError: The share needs posts of a kind that there are none of, or leaves no post.
    """
    random = np.random.default_rng(shuffle or 0)
    of_template, others = np.flatnonzero(~truth.singleton), np.flatnonzero(truth.singleton)
    if share is not None:
        if (share > 0 and not len(of_template)) or (share < 1 and not len(others)):
            raise WorldError(
                f"a share of {share:g} needs template posts and other posts: found {len(of_template)} and {len(others)}"
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

"""`eval clusters`: images by cluster beside their templates, online and offline, from the same embeddings."""

import math
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import entropy
from sklearn.cluster import AgglomerativeClustering, Birch
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning

from core.merges import Merges
from memewax.evaluation.embedded_posts import EmbeddedPosts, Pair, places_of
from memewax.evaluation.measures import BOOTSTRAP, Figure, Indices, Report, with_intervals
from memewax.evaluation.one_of_a_kind import Labels, PostMeans, TrueGroups, post_values, stream_order
from models.clusterer import Clusterer, ImageContext

_PACKAGES = ("river", "scikit-learn", "torch", "transformers")
_BIRCH_CLUSTERS = 40
_BIRCH_BATCH = 64
_ORACLE_DIMENSIONS = 64
_ORACLE_POSTS = 5000
"""Beyond these the oracle is left out: it compares all with all."""


def online(embedded: EmbeddedPosts, clusterer: Clusterer) -> tuple[Labels, Labels]:
    """Labels as they are given on arrival, one pass, and the same by the ids that they go by at the end."""
    merges = Merges()
    arrival = []
    for name, vector, patches in zip(embedded.ids, embedded.vectors, embedded.patches, strict=True):
        arrival.append(clusterer.learn(vector, ImageContext(patches, name)).id)
        merges.add(clusterer.events())
    final = [merges.current(name, label) for name, label in zip(embedded.ids, arrival, strict=True)]
    return np.array(arrival), np.array(final)


def birch(vectors: NDArray[np.float32]) -> Labels:
    """The first version of this system: scikit-learn's BIRCH for 40 clusters, fed in batches, on raw embeddings."""
    model = Birch(n_clusters=_BIRCH_CLUSTERS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer subclusters than asked for is what is measured
        for start in range(0, len(vectors), _BIRCH_BATCH):
            model.partial_fit(vectors[start : start + _BIRCH_BATCH])
        return np.asarray(model.predict(vectors), np.int64)


def oracle(vectors: NDArray[np.float32], clusters: int) -> Labels:
    """What can be had offline: average linkage by cosine, on 64 dimensions of all embeddings' PCA.

    It sees everything at once and is told the true number of `clusters`, which nothing online can know.
    """
    if len(vectors) < 2:
        return np.zeros(len(vectors), np.int64)
    dimensions = min(_ORACLE_DIMENSIONS, *vectors.shape)
    reduced = PCA(dimensions, random_state=0).fit_transform(vectors)
    reduced[np.linalg.norm(reduced, axis=1) == 0] = 1e-12  # one that is the mean itself has no direction
    linkage = AgglomerativeClustering(n_clusters=min(clusters, len(vectors)), linkage="average", metric="cosine")
    return np.asarray(linkage.fit_predict(reduced), np.int64)


@dataclass(frozen=True, slots=True)
class Shown:
    """What a page shows: the posts of the first order, and their final labels."""

    embedded: EmbeddedPosts
    labels: Labels


def report(
    embedded: EmbeddedPosts,
    model: str,
    make: Callable[[], Clusterer],
    *,
    orders: int = 1,
    share: float | None = None,
    left_out: Collection[Pair] = (),
) -> tuple[Report, Shown]:
    """Figures of all ways to cluster.

    Args:
        embedded: The posts, in order of arrival.
        model: Name of what embedded them.
        make: Makes a clusterer that has learned nothing yet.
        orders: With one, the order is as given, and intervals are from bootstrap draws. With more, posts are shuffled
            so many times; figures are means over these, and intervals go from the least to the greatest.
        share: Of posts of templates, for which the others or they are thinned; None: as they are.
        left_out: Pairs of ids that are no errors.

    Raises:
        WorldError: where there are not posts of both kinds for such a share.
    """
    truth = TrueGroups.of(embedded.templates)
    shown, found = None, []
    for number in range(orders):
        part = embedded.at(stream_order(truth, number if orders > 1 else None, share))
        clusterer = make()
        figures, final = _measured(part, clusterer, left_out, with_draws=orders == 1)
        found.append(figures)
        shown = shown or Shown(part, final)
    assert shown is not None, "there is an order at least"
    made = Report(
        kind="clusters",
        n=len(shown.labels),
        figures=found[0] if orders == 1 else _over_orders(found),
        models={"embedding": model, "cluster": clusterer.name},
        packages=_PACKAGES,
        options={
            "orders": orders if orders > 1 else None,
            "template_share": share,
            "pairs_left_out": len(left_out) or None,
        },
        failures=embedded.failures,
        intervals_are=BOOTSTRAP if orders == 1 else f"least to greatest of {orders} orders",
    )
    return made, shown


def _measured(
    embedded: EmbeddedPosts, clusterer: Clusterer, left_out: Collection[Pair], *, with_draws: bool
) -> tuple[dict[str, Figure], Labels]:
    """The figures of one stream, with intervals or without, and its final labels."""
    truth = TrueGroups.of(embedded.templates)
    arrival, final = online(embedded, clusterer)
    groups = len(set(truth.groups.tolist()))
    ways = {"arrival": arrival, "final": final}
    if len(truth.groups) <= _ORACLE_POSTS:
        ways["oracle"] = oracle(embedded.vectors, groups)
    ways["birch"] = birch(embedded.vectors)
    pairs = places_of(left_out, embedded.ids)
    figures: dict[str, Figure] = {}
    for name, labels in ways.items():
        means = post_values(truth, labels, pairs).means() if name in ("arrival", "final") else None

        def measure(indices: Indices, labels: Labels = labels, means: PostMeans | None = means) -> dict[str, float]:
            return agreement(truth.groups, labels, indices) | (means.over(indices) if means else {})

        everything = np.arange(len(labels))
        measured = (
            with_intervals(len(labels), measure)
            if with_draws
            else {figure: Figure(value) for figure, value in measure(everything).items()}
        )
        figures |= {f"{name}.{figure}": value for figure, value in measured.items()}
        figures[f"{name}.clusters"] = Figure(len(set(labels.tolist())))
    figures["templates"] = Figure(groups)
    figures["singletons"] = Figure(int(truth.singleton.sum()))
    return figures, final


def _over_orders(found: Sequence[Mapping[str, Figure]]) -> dict[str, Figure]:
    """Of each figure the mean, the least and the greatest; an order in which it is not defined does not count."""
    figures = {}
    for name in found[0]:
        values = np.array([one[name].value for one in found])
        values = values[~np.isnan(values)]
        spread = (float(values.min()), float(values.max())) if values.size else None
        figures[name] = Figure(float(values.mean()) if values.size else math.nan, spread)
    return figures


def agreement(truth: Labels, labels: Labels, indices: Indices) -> dict[str, float]:
    """How well labels agree with the truth over the items of `indices`, each 1 where they are the same partition.

    V-measure (Rosenberg and Hirschberg 2007), adjusted Rand index (Hubert and Arabie 1985: 0 by chance), normalised
    mutual information by the geometric mean, and purity: the share of items that are of their cluster's main template.
    An item that is drawn twice makes no pair with itself, or draws of what is mostly one of a kind would mostly agree.

    All come from one table, of cells that are not empty: scikit-learn's functions, which a test holds these against,
    make it anew for each and take milliseconds, and thousands of draws are measured.
    """
    rows, columns = (np.unique(side[indices], return_inverse=True)[1] for side in (truth, labels))
    cells, table = np.unique(rows * (columns.max() + 1) + columns, return_counts=True)
    n, by_row, by_column = float(len(indices)), np.bincount(rows), np.bincount(columns)
    spread, other = float(entropy(by_row)), float(entropy(by_column))
    shared = max(0.0, spread + other - float(entropy(table)))
    itself = np.square(np.bincount(indices)).sum()
    pairs, in_rows, in_columns, all_pairs = (
        float(np.square(it).sum() - itself) for it in (table, by_row, by_column, np.array([len(indices)]))
    )
    chance = in_rows * in_columns / all_pairs if all_pairs else 0.0
    best = (in_rows + in_columns) / 2
    main = np.zeros(len(by_column), np.int64)
    np.maximum.at(main, cells % len(by_column), table)
    return {
        "v_measure": 2 * shared / (spread + other) if spread + other else 1.0,
        "ari": (pairs - chance) / (best - chance) if best != chance else 1.0,
        "nmi": shared / math.sqrt(spread * other) if spread * other else float(spread == other),
        "purity": float(main.sum()) / n,
    }

"""`eval clusters`: clusters against true templates, for online and offline clustering of the same embeddings."""

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
"""Most posts for which the oracle is computed; its cost grows with their square."""


def online(embedded: EmbeddedPosts, clusterer: Clusterer) -> tuple[Labels, Labels]:
    """Cluster posts online, in one pass; return the labels given on arrival, and the same after all merges."""
    merges = Merges()
    arrival = []
    for name, vector, patches in zip(embedded.ids, embedded.vectors, embedded.patches, strict=True):
        arrival.append(clusterer.learn(vector, ImageContext(patches, name)).id)
        merges.add(clusterer.events())
    final = [merges.current(name, label) for name, label in zip(embedded.ids, arrival, strict=True)]
    return np.array(arrival), np.array(final)


def birch(vectors: NDArray[np.float32]) -> Labels:
    """Cluster as the first version did: scikit-learn's BIRCH with 40 clusters, fed in batches of raw embeddings."""
    model = Birch(n_clusters=_BIRCH_CLUSTERS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer subclusters than asked for: a result, not an error
        for start in range(0, len(vectors), _BIRCH_BATCH):
            model.partial_fit(vectors[start : start + _BIRCH_BATCH])
        return np.asarray(model.predict(vectors), np.int64)


def oracle(vectors: NDArray[np.float32], clusters: int) -> Labels:
    """Cluster offline, as an upper bound: average linkage by cosine on 64 principal components of all embeddings.

    It sees all posts at once and knows the true number of clusters, which no online method can.

    Args:
        vectors: Shape (posts, dimension).
        clusters: True number of clusters.
    """
    if len(vectors) < 2:
        return np.zeros(len(vectors), np.int64)
    dimensions = min(_ORACLE_DIMENSIONS, *vectors.shape)
    reduced = PCA(dimensions, random_state=0).fit_transform(vectors)
    reduced[np.linalg.norm(reduced, axis=1) == 0] = 1e-12  # a vector that equals the mean has no direction
    linkage = AgglomerativeClustering(n_clusters=min(clusters, len(vectors)), linkage="average", metric="cosine")
    return np.asarray(linkage.fit_predict(reduced), np.int64)


@dataclass(frozen=True, slots=True)
class Shown:
    """Input of the contact sheet: the posts in the first order, and their final labels."""

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
    """Measure all ways of clustering.

    Args:
        embedded: The posts, in order of arrival.
        model: Name of the model that embedded them.
        make: Makes a new clusterer.
        orders: With 1, the order is as given and intervals are bootstrapped. With more, posts are shuffled that many
            times; figures are means over the orders, and intervals range from the least to the greatest.
        share: Share of template posts to reach by thinning them or the others; None to keep all posts.
        left_out: Pairs of ids that are ignored: they count neither as wrong nor as missing.

    Returns:
        The report, and the input of the contact sheet.

    Raises:
        WorldError: The share needs posts of both kinds, and there are only posts of one kind.
    """
    truth = TrueGroups.of(embedded.templates)
    shown, found = None, []
    for number in range(orders):
        part = embedded.at(stream_order(truth, number if orders > 1 else None, share))
        clusterer = make()
        figures, final = _measured(part, clusterer, left_out, with_draws=orders == 1)
        found.append(figures)
        shown = shown or Shown(part, final)
    assert shown is not None, "expected at least one order"
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
    """Measure one stream; return its figures, with bootstrap intervals or without, and its final labels."""
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
    """Return mean, least and greatest value of each figure; orders in which it is NaN are ignored."""
    figures = {}
    for name in found[0]:
        values = np.array([one[name].value for one in found])
        values = values[~np.isnan(values)]
        spread = (float(values.min()), float(values.max())) if values.size else None
        figures[name] = Figure(float(values.mean()) if values.size else math.nan, spread)
    return figures


def agreement(truth: Labels, labels: Labels, indices: Indices) -> dict[str, float]:
    """Measure how well labels agree with the truth; each measure is 1 for identical partitions.

    V-measure (Rosenberg and Hirschberg 2007), adjusted Rand index (Hubert and Arabie 1985; 0 by chance), normalised
    mutual information (geometric mean), and purity: the share of items that are of their cluster's main template. An
    item that is drawn twice makes no pair with itself; otherwise bootstrap draws of mostly unique images would mostly
    agree.

    All measures use one contingency table without its empty cells. scikit-learn's functions, which a test compares with
    these, compute it for each measure and take milliseconds, and thousands of draws are measured.

    Args:
        truth: True group of each item, shape (n,).
        labels: Cluster of each item, shape (n,).
        indices: Items to measure, with repetitions: shape (draws,).
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

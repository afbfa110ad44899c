"""`eval clusters`: pictures by cluster beside their templates, online and offline, from the same embeddings."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import entropy
from sklearn.cluster import AgglomerativeClustering, Birch
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning

from core.errors import WorldError
from core.merges import Merges
from core.records import Failed, Vector
from dataflows.all_settings import Settings
from memewax.evaluation.data import LabelledPost, picture_of
from memewax.evaluation.measures import Figure, Indices, Report, with_intervals
from memewax.evaluation.progress_bar import Steps
from models.base import Embedder
from models.clusterer import Clusterer

_PACKAGES = ("river", "scikit-learn", "torch", "transformers")
_BIRCH_CLUSTERS = 40
_BIRCH_BATCH = 64
_ORACLE_DIMENSIONS = 64

Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class EmbeddedPosts:
    """Posts whose picture has an embedding, in the order of the file."""

    posts: tuple[LabelledPost, ...]
    vectors: NDArray[np.float32]
    """Shape (posts, dimension)."""
    failures: tuple[str, ...]

    @property
    def templates(self) -> list[str]:
        """What each of them truly is."""
        return [str(known.truth) for known in self.posts]


def embed(
    posts: Sequence[LabelledPost], model: Embedder[np.ndarray], settings: Settings, steps: Steps
) -> EmbeddedPosts:
    """Embed every picture; raises `WorldError` where none can be."""
    kept: list[LabelledPost] = []
    vectors: list[Vector] = []
    failures: list[str] = []
    for start in range(0, len(posts), model.batch_size):
        batch = posts[start : start + model.batch_size]
        pictures = [picture_of(known, settings) for known in batch]
        answers = iter(model([picture for picture in pictures if not isinstance(picture, Failed)]))
        for known, picture in zip(batch, pictures, strict=True):
            answer = picture if isinstance(picture, Failed) else next(answers)
            if isinstance(answer, Failed):
                failures.append(answer.reason)
            else:
                kept.append(known)
                vectors.append(answer)
        steps.advance(len(batch))
    if not kept:
        raise WorldError(f"none of {len(posts)} pictures could be embedded: {'; '.join(failures[:3])}")
    return EmbeddedPosts(tuple(kept), np.stack(vectors).astype(np.float32), tuple(failures))


def online(vectors: NDArray[np.float32], clusterer: Clusterer) -> tuple[Labels, Labels]:
    """Labels as they are given on arrival, one pass, and the same by the ids that they go by after all merges."""
    merges = Merges()
    arrival = []
    for vector in vectors:
        arrival.append(clusterer.learn(vector).id)
        merges.add(clusterer.events())
    return np.array(arrival), np.array([merges.resolve(label) for label in arrival])


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


def report(embedded: EmbeddedPosts, model: str, clusterer: Clusterer) -> tuple[Report, Labels]:
    """Figures of all four ways to cluster, and the final labels of `clusterer`."""
    templates = embedded.templates
    arrival, final = online(embedded.vectors, clusterer)
    ways = {
        "arrival": arrival,
        "final": final,
        "oracle": oracle(embedded.vectors, len(set(templates))),
        "birch": birch(embedded.vectors),
    }
    truth = np.unique(templates, return_inverse=True)[1]
    figures: dict[str, Figure] = {}
    for name, labels in ways.items():
        measured = with_intervals(len(truth), lambda indices, labels=labels: agreement(truth, labels, indices))  # type: ignore[misc]
        figures |= {f"{name}.{figure}": value for figure, value in measured.items()}
        figures[f"{name}.clusters"] = Figure(len(set(labels.tolist())))
    figures["templates"] = Figure(len(set(templates)))
    models = {"embedding": model, "cluster": clusterer.name}
    return Report("clusters", len(truth), figures, models, _PACKAGES, failures=embedded.failures), final


def agreement(truth: Labels, labels: Labels, indices: Indices) -> dict[str, float]:
    """How well labels agree with the truth over the items of `indices`, each 1 where they are the same partition.

    V-measure (Rosenberg and Hirschberg 2007), adjusted Rand index (Hubert and Arabie 1985: 0 by chance), normalised
    mutual information by the geometric mean, and purity: the share of items that are of their cluster's main template.
    All come from one table: scikit-learn's functions, which a test holds these against, make it anew for each and take
    milliseconds, and thousands of draws are measured.
    """
    rows, columns = (np.unique(side[indices], return_inverse=True)[1] for side in (truth, labels))
    table = np.zeros((rows.max() + 1, columns.max() + 1))
    np.add.at(table, (rows, columns), 1)
    n, by_row, by_column = float(len(indices)), table.sum(axis=1), table.sum(axis=0)
    spread, other = float(entropy(by_row)), float(entropy(by_column))
    shared = max(0.0, spread + other - float(entropy(table.ravel())))
    pairs, in_rows, in_columns = (float((it * (it - 1)).sum()) for it in (table, by_row, by_column))
    chance = in_rows * in_columns / (n * (n - 1)) if n > 1 else 0.0
    best = (in_rows + in_columns) / 2
    return {
        "v_measure": 2 * shared / (spread + other) if spread + other else 1.0,
        "ari": (pairs - chance) / (best - chance) if best != chance else 1.0,
        "nmi": shared / math.sqrt(spread * other) if spread * other else float(spread == other),
        "purity": float(table.max(axis=0).sum()) / n,
    }

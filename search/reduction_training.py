"""Training of a linear projection that preserves nearest neighbours.

For each anchor, a softmax turns its cosines to its neighbours and to those of the other anchors in the batch into a
distribution, in full and in reduced space. The loss is the Kullback-Leibler divergence of the two: stochastic neighbour
embedding (Hinton and Roweis 2002) with a linear layer in place of free points. Training starts from PCA, which remains
the result if no epoch is better.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from models.runtime import Runtime
from search.recall import Recall, others, recall_of
from search.reduction import Projection, pca
from search.vector_index import FlatIndex, FloatMatrix, RowNumbers

ANCHORS: Final = 20_000
"""Largest number of rows whose neighbours are learned from; each is compared with all rows to find them."""
_BATCH: Final = 256
_RATE: Final = 1e-3
_SEED: Final = 0


@dataclass(frozen=True, slots=True)
class Epoch:
    """Result of one pass over the anchors; epoch 0 is PCA, before training."""

    number: int
    loss: float
    """Mean Kullback-Leibler divergence, nats."""
    recall_at_1: float
    """Of the held-out queries, 0 to 1."""
    recall_at_10: float


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """Hyperparameters of the training."""

    epochs: int = 12
    neighbours: int = 16
    """Nearest neighbours per anchor that a batch contains."""
    temperature: float = 0.05
    """Softmax temperature: the smaller, the more the nearest neighbours count."""


def train(
    vectors: FloatMatrix,
    held_out: FloatMatrix,
    dimensions: int,
    model: str,
    runtime: Runtime,
    plan: TrainingPlan | None = None,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> Projection:
    """Train a projection on `vectors` and keep the epoch with the best recall of `held_out`.

    Args:
        vectors: Vectors of the corpus, shape (n, dimension), L2-normalised.
        held_out: Validation queries that are not among `vectors`, shape (m, dimension). Report recall on a third set.
        dimensions: Dimension of the reduced vectors.
        model: Name of the model that made the vectors.
        runtime: CPU threads to train with.
        plan: Hyperparameters.
        on_epoch: Called after each epoch.

    Returns:
        The projection of the best epoch; its `facts` hold the figures of every epoch.
    """
    torch = runtime.torch()
    functional = torch.nn.functional

    plan = plan or TrainingPlan()
    start = pca(vectors, dimensions, model)
    random = np.random.default_rng(_SEED)
    anchors: RowNumbers = np.sort(random.permutation(len(vectors))[:ANCHORS])
    full = FlatIndex.of(vectors)
    near = _neighbours(full, anchors, plan.neighbours)
    right = full.search(held_out, 10)

    every = torch.from_numpy(vectors)
    weights = torch.nn.Parameter(torch.from_numpy(start.weights.copy()))
    optimiser = torch.optim.Adam([weights], lr=_RATE)
    steps = -(-len(anchors) // _BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, plan.epochs * steps))

    def divergence(batch: RowNumbers) -> Any:
        rows = np.unique(np.concatenate([anchors[batch], near[batch].ravel()]))
        own = np.searchsorted(rows, anchors[batch])
        taken = every[torch.from_numpy(rows)]
        short = functional.normalize(taken @ weights)
        mask = torch.zeros(len(batch), len(rows))
        mask[torch.arange(len(batch)), torch.from_numpy(own)] = -torch.inf  # a row is not its own neighbour
        wanted = functional.softmax(taken[own] @ taken.T / plan.temperature + mask, 1)
        found = functional.log_softmax((short[own] @ short.T / plan.temperature).masked_fill(mask < 0, -1e9), 1)
        return functional.kl_div(found, wanted, reduction="batchmean")

    def measured(number: int, loss: float) -> tuple[Epoch, Projection]:
        now = Projection("trained", model, weights.detach().numpy().copy())
        recall = reduced_recall(now, vectors, held_out, right)
        return Epoch(number, loss, recall.at_1, recall.at_10), now

    with torch.no_grad():
        first = float(np.mean([float(divergence(batch)) for batch in _batches(len(anchors), random)[:8]]))
    epochs = [measured(0, first)]
    on_epoch(epochs[0][0])
    for number in range(1, plan.epochs + 1):
        losses = []
        for batch in _batches(len(anchors), random):
            optimiser.zero_grad()
            loss = divergence(batch)
            loss.backward()
            optimiser.step()
            schedule.step()
            losses.append(float(loss.detach()))
        epochs.append(measured(number, float(np.mean(losses))))
        on_epoch(epochs[-1][0])
    best, projection = max(epochs, key=lambda pair: (pair[0].recall_at_10, pair[0].recall_at_1))
    facts = {
        "rows": len(vectors),
        "anchors": len(anchors),
        "plan": asdict(plan),
        "best_epoch": best.number,
        "epochs": [asdict(epoch) for epoch, _ in epochs],
    }
    return Projection("trained", model, projection.weights, facts)


def reduced_recall(projection: Projection, vectors: FloatMatrix, queries: FloatMatrix, right: Any) -> Recall:
    """Measure the recall of search in reduced space against `right`, the exact neighbours in full space.

    Args:
        projection: The projection to measure.
        vectors: Searched vectors in full space, shape (n, dimension).
        queries: Shape (m, dimension).
        right: Exact neighbours of `queries` among `vectors`, shape (m, 10).
    """
    found = FlatIndex.of(projection(vectors)).search(projection(queries), 10)
    full = np.einsum("qd,qkd->qk", queries, vectors[np.maximum(found.rows, 0)])
    return recall_of(type(found)(found.rows, full), right)


def _neighbours(full: FlatIndex, anchors: RowNumbers, count: int) -> RowNumbers:
    """Return the nearest rows of each anchor without the anchor itself: shape (anchors, count), int64."""
    count = min(count, len(full) - 1)
    near = np.empty((len(anchors), count), np.int64)
    for start in range(0, len(anchors), _BATCH):
        own = anchors[start : start + _BATCH]
        near[start : start + _BATCH] = others(full.search(full.vectors[own], count + 1), own).rows
    return near


def _batches(count: int, random: np.random.Generator) -> list[RowNumbers]:
    order = random.permutation(count)
    return [order[start : start + _BATCH] for start in range(0, count, _BATCH)]

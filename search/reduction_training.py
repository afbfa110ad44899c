"""A dense layer that is trained to keep neighbours.

For a vector and its nearest neighbours, along with those of the others in its batch, the cosines in full and in reduced
space are made into distributions, and the reduced one is pulled towards the full one (Kullback-Leibler): stochastic
neighbour embedding (Hinton and Roweis 2002) with a layer in place of free points. It begins as PCA, and stays so where
nothing is better.
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
"""Rows whose neighbours are learned from; finding them is a comparison of each with all."""
_BATCH: Final = 256
_RATE: Final = 1e-3
_SEED: Final = 0


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass over the anchors; epoch 0 is PCA, before training."""

    number: int
    loss: float
    """Mean Kullback-Leibler divergence, nats."""
    recall_at_1: float
    recall_at_10: float
    """Of held-out vectors."""


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """How it is trained."""

    epochs: int = 12
    neighbours: int = 16
    """Of each anchor, that take part."""
    temperature: float = 0.05
    """Cosines are divided by it: the smaller, the more the nearest count."""


def trained(
    vectors: FloatMatrix,
    held_out: FloatMatrix,
    dimensions: int,
    model: str,
    runtime: Runtime,
    plan: TrainingPlan | None = None,
    told: Callable[[Epoch], None] = lambda _: None,
) -> Projection:
    """Train on `vectors`, choose the epoch by the recall of `held_out`.

    Args:
        vectors: Of the corpus, shape (n, dimension).
        held_out: Queries that are not among them, to choose the best epoch by; what is reported should be measured with
            others again.
        dimensions: Length of the shorter vectors.
        model: Name of the model that made the vectors.
        runtime: What it is trained on: the CPU's threads.
        plan: How it is trained.
        told: Called after each epoch.

    Returns:
        The projection of the best epoch; its facts hold the numbers of each.
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
        mask[torch.arange(len(batch)), torch.from_numpy(own)] = -torch.inf  # a row is no neighbour of its own
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
    told(epochs[0][0])
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
        told(epochs[-1][0])
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
    """Share of the exact answer `right` (of `queries` among `vectors`) that search in reduced space finds."""
    found = FlatIndex.of(projection(vectors)).search(projection(queries), 10)
    full = np.einsum("qd,qkd->qk", queries, vectors[np.maximum(found.rows, 0)])
    return recall_of(type(found)(found.rows, full), right)


def _neighbours(full: FlatIndex, anchors: RowNumbers, count: int) -> RowNumbers:
    """The nearest rows of each anchor, itself left out; shape (anchors, count)."""
    count = min(count, len(full) - 1)
    near = np.empty((len(anchors), count), np.int64)
    for start in range(0, len(anchors), _BATCH):
        own = anchors[start : start + _BATCH]
        near[start : start + _BATCH] = others(full.search(full.vectors[own], count + 1), own).rows
    return near


def _batches(count: int, random: np.random.Generator) -> list[RowNumbers]:
    order = random.permutation(count)
    return [order[start : start + _BATCH] for start in range(0, count, _BATCH)]

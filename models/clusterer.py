"""Interface of the online clusterers of embeddings: one pass over the stream, and snapshots to recover from a crash."""

from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from core.errors import BadRecordError, WorldError
from core.records import Cluster, ClusterEvent, Patches, Vector

State = dict[str, Any]
"""A snapshot: builtins and NumPy arrays, pickled into the recovery store."""


@dataclass(frozen=True, slots=True)
class ImageContext:
    """What is known of an image beside its embedding. A clusterer may ignore it; empty strings: unknown."""

    patches: Patches | None = None
    """Embeddings of its patches, if the image model provides them."""
    post: str = ""
    """Id of the post that shows it."""
    author: str = ""
    """The source and the author's name there."""
    url: str = ""
    """Address of the image."""


NO_CONTEXT = ImageContext()


def check_embedding(embedding: Vector, dimension: int | None) -> None:
    """Check that an embedding is finite and of the learned dimension (None: any); raise `BadRecordError` otherwise."""
    if not np.isfinite(embedding).all():
        raise BadRecordError("the embedding is not finite")
    if dimension is not None and embedding.size != dimension:
        raise BadRecordError(f"the embedding has dimension {embedding.size}, those before it had {dimension}")


class Clusterer(ABC):
    """An online clusterer: learns one embedding at a time and assigns its cluster at once.

    Cluster ids are integers from 0 that are never reused.
    """

    stage: ClassVar[str] = "cluster"
    joins_copies: ClassVar[bool] = False
    """Whether a duplicate is assigned to the cluster of its original."""
    name: str
    """As in MEMEWAX_CLUSTERER."""

    @abstractmethod
    def learn(self, embedding: Vector, context: ImageContext = NO_CONTEXT, *, cluster: int | None = None) -> Cluster:
        """Learn one embedding and return its cluster, with its distance there.

        Args:
            embedding: Finite float32 numbers, shape (dimension,), L2-normalised.
            context: What else is known of the image.
            cluster: Its cluster, if that is known: the image duplicates one of that cluster.

        Raises:
            BadRecordError: If the embedding is not finite, or its dimension differs from that of those before.
        """

    @abstractmethod
    def predict(self, embedding: Vector, context: ImageContext = NO_CONTEXT) -> int | None:
        """Return the cluster that `learn` would assign, or None if it would start a new one; learn nothing.

        Raises:
            BadRecordError: As `learn` does.
        """

    def set_log_folder(self, folder: Path) -> None:  # noqa: B027 - for those whose state is large
        """Keep rows that never change in files below a folder, out of snapshots; call it before `restore`."""

    def reserve_ids_to(self, highest: int) -> None:
        """Reserve the ids up to `highest`, which the store already has: new clusters get greater ones.

        Raises:
            WorldError: If the clusterer cannot, and `highest` is not negative.
        """
        if highest >= 0:
            raise WorldError(
                f"the clusterer {self.name} numbers clusters from 0, but the store has clusters up to {highest}: "
                "use the recovery folder that wrote them, set a new store, or choose the clusterer verified"
            )

    def merge(self, one: int, other: int) -> None:
        """Merge two clusters on request; raises `BadRecordError` if corrections are unsupported."""
        raise BadRecordError(f"the clusterer {self.name} takes no corrections: clusters {one} and {other} stay apart")

    def split(self, posts: Collection[str]) -> int | None:
        """Move posts into a new cluster on request.

        Returns:
            The new cluster's id, or None if no post is known.

        Raises:
            BadRecordError: If corrections are unsupported.
        """
        number = f"{len(posts)} {'post' if len(posts) == 1 else 'posts'}"
        raise BadRecordError(f"the clusterer {self.name} takes no corrections: it did not split off {number}")

    def forget_posts(self, posts: Collection[str]) -> None:  # noqa: B027 - a clusterer without exemplars has nothing
        """Delete what is kept of the images of posts; unknown posts are ignored."""

    def forget_author(self, author: str) -> None:  # noqa: B027
        """Delete what is kept of an author's images."""

    def forget_urls(self, urls: Collection[str]) -> None:  # noqa: B027
        """Delete what is kept of the images at URLs."""

    def events(self) -> list[ClusterEvent]:
        """Return the births, merges, splits, retirements and revivals since the last call, in order."""
        return []

    @abstractmethod
    def count(self) -> int:
        """Count the clusters that exist now."""

    def singletons(self) -> int | None:
        """Count the clusters with one image; None if `count` includes them."""
        return None

    @property
    @abstractmethod
    def dimension(self) -> int | None:
        """Return the dimension of the embeddings learned, or None before the first."""

    @abstractmethod
    def state(self) -> State:
        """Return a snapshot, from which `restore` continues as if nothing had happened."""

    @abstractmethod
    def restore(self, state: State) -> None:
        """Restore a snapshot."""


class FakeClusterer(Clusterer):
    """A clusterer that assigns all images to one cluster without looking, to measure the dataflow itself."""

    def __init__(self) -> None:
        self.name = "fake"

    def learn(self, embedding: Vector, context: ImageContext = NO_CONTEXT, *, cluster: int | None = None) -> Cluster:  # noqa: ARG002
        """Return cluster 0, distance 0."""
        return Cluster(0, 0.0)

    def predict(self, embedding: Vector, context: ImageContext = NO_CONTEXT) -> int:  # noqa: ARG002
        """Return 0."""
        return 0

    def reserve_ids_to(self, highest: int) -> None:
        """Do nothing: its one cluster is the same in every store."""

    def count(self) -> int:
        """Return 1."""
        return 1

    @property
    def dimension(self) -> None:
        """Return None: it ignores embeddings."""
        return None

    def state(self) -> State:
        """Return a snapshot, which holds only the name."""
        return {"version": 1, "algorithm": self.name}

    def restore(self, state: State) -> None:
        """Do nothing: it has no state."""

"""Online clusters of embeddings: one pass, and a state of plain values that a crash does not change."""

from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from core.errors import BadRecordError, WorldError
from core.records import Cluster, ClusterEvent, Patches, Vector

State = dict[str, Any]
"""Plain values, pickled into the recovery store."""


@dataclass(frozen=True, slots=True)
class ImageContext:
    """What is known of an image beside its embedding; a clusterer may look at it or not."""

    patches: Patches | None = None
    """What the image model says of its patches."""
    post: str = ""
    """Id of the post that shows it."""
    author: str = ""
    """Who posted it, with the source."""
    url: str = ""
    """Where it was."""


NO_CONTEXT = ImageContext()


class Clusterer(ABC):
    """Learns one embedding after another and says at once which cluster each one falls into."""

    stage: ClassVar[str] = "cluster"
    joins_copies: ClassVar[bool] = False
    """Whether an image that is a copy goes where the image is that it is a copy of."""
    name: str

    @abstractmethod
    def learn(self, embedding: Vector, context: ImageContext = NO_CONTEXT, *, cluster: int | None = None) -> Cluster:
        """Take in one embedding of shape (dimension,); its cluster has an id for life.

        Args:
            embedding: Of the image.
            context: What else is known of it.
            cluster: That it belongs to, where somebody knows: it is a copy of an image in that cluster.
        """

    def keep_rows_below(self, folder: Path) -> None:  # noqa: B027 - for those whose state is large
        """Keep what never changes in files below a folder rather than in the state; called before `restore`."""

    def begin_above(self, highest: int) -> None:
        """Give no id up to `highest`: the store has them already. Raises `WorldError` where it cannot."""
        if highest >= 0:
            raise WorldError(
                f"the clusterer {self.name} gives ids from 0, and the store has clusters up to {highest}: "
                "go on with the recovery folder that wrote them, name a new store, or choose the clusterer verified"
            )

    def merge(self, one: int, other: int) -> None:
        """Make one of two clusters, as somebody knows who looked; raises `BadRecordError` where it cannot."""
        raise BadRecordError(f"the clusterer {self.name} takes no corrections: clusters {one} and {other} stay")

    def split(self, posts: Collection[str]) -> int | None:
        """Move posts into a new cluster for good; gives its id. Raises `BadRecordError` where it cannot."""
        raise BadRecordError(f"the clusterer {self.name} takes no corrections: {len(posts)} posts stay")

    def forget_posts(self, posts: Collection[str]) -> None:  # noqa: B027 - who keeps no posts has nothing to forget
        """Drop what is kept of the images of posts, those that are not known among them."""

    def forget_author(self, author: str) -> None:  # noqa: B027
        """Drop what is kept of an author's images."""

    def forget_urls(self, urls: Collection[str]) -> None:  # noqa: B027
        """Drop what is kept of the images at addresses."""

    def events(self) -> list[ClusterEvent]:
        """What became of clusters since the last call, in order: each event is told once."""
        return []

    @abstractmethod
    def count(self) -> int:
        """Clusters that are alive."""

    def singletons(self) -> int | None:
        """Images that are kept and are like no other; None where that is not told apart from clusters."""
        return None

    @property
    @abstractmethod
    def dimension(self) -> int | None:
        """Numbers of the embeddings that it learned, None before the first."""

    @abstractmethod
    def state(self) -> State:
        """All that it has learned; what it does next depends on nothing else."""

    @abstractmethod
    def restore(self, state: State) -> None:
        """Go on from a state."""


class FakeClusterer(Clusterer):
    """One cluster for all, at once: to measure the flow itself."""

    def __init__(self) -> None:
        self.name = "fake"

    def learn(self, embedding: Vector, context: ImageContext = NO_CONTEXT, *, cluster: int | None = None) -> Cluster:  # noqa: ARG002
        """The one cluster."""
        return Cluster(0, 0.0)

    def begin_above(self, highest: int) -> None:
        """The one cluster is that of every store: nothing is looked at."""

    def count(self) -> int:
        """One."""
        return 1

    @property
    def dimension(self) -> None:
        """It looks at none."""
        return None

    def state(self) -> State:
        """Nothing but its name."""
        return {"version": 1, "algorithm": self.name}

    def restore(self, state: State) -> None:
        """There is nothing to go on from."""

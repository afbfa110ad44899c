"""What shards that cluster side by side agree on: which of their clusters are one, and by which id it goes."""

from collections.abc import Collection
from pathlib import Path

from core.records import Cluster, ClusterEvent, Vector
from models.clusterer import NO_CONTEXT, Clusterer, ImageContext, State

LocalCluster = tuple[int, int]
"""A shard, and the id that a cluster has there."""


class ShardMerger:
    """One clusterer over all shards, which sees few posts of each cluster: the first, second, fourth, eighth.

    A shard compares each post with all of its exemplars, which is the work; what is left to agree on is small. What a
    shard founds is a cluster that another shard has already, or a new one for all; those that turn out to be one later
    are merged as in a single clusterer, and what a shard merges is merged for all.
    """

    def __init__(self, clusterer: Clusterer) -> None:
        """Begin with a clusterer that has learned nothing yet."""
        self._all = clusterer
        self._ids: dict[LocalCluster, int] = {}
        self._posts: dict[LocalCluster, int] = {}
        self._events: list[ClusterEvent] = []

    def keep_rows_below(self, folder: Path) -> None:
        """Keep exemplars in files; called before `restore`."""
        self._all.keep_rows_below(folder)

    def begin_above(self, highest: int) -> None:
        """Give no id up to `highest`."""
        self._all.begin_above(highest)

    def learn(self, shard: int, own: Cluster, embedding: Vector, context: ImageContext = NO_CONTEXT) -> Cluster:
        """The cluster for all that a shard's cluster is."""
        key = shard, own.id
        posts = self._posts[key] = self._posts.get(key, 0) + 1
        if posts & (posts - 1) == 0:
            self._ids[key] = self._all.learn(embedding, context, cluster=self._ids.get(key)).id
            self._follow_events()
        return Cluster(self._ids[key], own.distance)

    def forget_posts(self, posts: Collection[str]) -> None:
        """Drop what is kept of the images of posts."""
        self._all.forget_posts(posts)
        self._follow_events()

    def forget_author(self, author: str) -> None:
        """Drop what is kept of an author's images."""
        self._all.forget_author(author)
        self._follow_events()

    def forget_urls(self, urls: Collection[str]) -> None:
        """Drop what is kept of the images at addresses."""
        self._all.forget_urls(urls)
        self._follow_events()

    def apply(self, shard: int, event: ClusterEvent) -> None:
        """Take in what became of a shard's cluster."""
        key = shard, event.cluster
        if event.kind == "birth" or key not in self._ids:
            return
        if event.kind == "split" and event.into is not None:
            new = self._all.split(event.posts)
            if new is not None:  # otherwise the next post of the new cluster founds it
                self._ids[shard, event.into], self._posts[shard, event.into] = new, len(event.posts)
            self._follow_events()
            return
        if event.into is not None and (shard, event.into) in self._ids:
            self._all.merge(self._ids[key], self._ids[shard, event.into])
            self._follow_events()
            self._posts[shard, event.into] += self._posts[key]
        del self._ids[key], self._posts[key]

    def events(self) -> list[ClusterEvent]:
        """What became of clusters for all since the last call."""
        events, self._events = self._events, []
        return events

    def count(self) -> int:
        """Clusters that are alive."""
        return self._all.count()

    def singletons(self) -> int | None:
        """Images that are like no other; None where that is not told."""
        return self._all.singletons()

    def state(self) -> State:
        """Plain values."""
        return {
            "version": 1,
            "all": self._all.state(),
            "ids": dict(self._ids),
            "posts": dict(self._posts),
            "events": [(it.kind, it.cluster, it.into, it.posts) for it in self._events],
        }

    def restore(self, state: State) -> None:
        """Go on from a state."""
        self._all.restore(state["all"])
        self._ids, self._posts = dict(state["ids"]), dict(state["posts"])
        self._events = [ClusterEvent(*event) for event in state["events"]]

    def _follow_events(self) -> None:
        """Follow what became of clusters for all; those that are gone are founded anew by the shards' next posts.

        So are those that were split: which of the parts a shard's cluster is, its next post tells.
        """
        for event in self._all.events():
            self._events.append(event)
            if event.kind == "birth":
                continue
            for key in [key for key, cluster in self._ids.items() if cluster == event.cluster]:
                if event.into is None or event.kind == "split":
                    del self._ids[key], self._posts[key]
                else:
                    self._ids[key] = event.into

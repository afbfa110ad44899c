"""Merge the clusters of shards into global clusters: decide which are one, and assign the global ids."""

from collections.abc import Collection
from pathlib import Path

from core.records import Cluster, ClusterEvent, Vector
from models.clusterer import NO_CONTEXT, Clusterer, ImageContext, State

LocalCluster = tuple[int, int]
"""A shard's index, and the id that it gave a cluster."""


class ShardMerger:
    """A global clusterer that sees a few posts of each local cluster: the first, second, fourth, eighth and so on.

    A shard does the expensive part: it compares each post with all of its exemplars. The merger has little to decide. A
    new local cluster joins the global cluster of another shard or starts a new one. Global clusters that turn out to be
    one are merged as in a single clusterer, and a merge within a shard merges the global clusters too.
    """

    def __init__(self, clusterer: Clusterer) -> None:
        """Wrap a clusterer that has learned nothing yet."""
        self._global = clusterer
        self._ids: dict[LocalCluster, int] = {}
        """Global ids."""
        self._posts: dict[LocalCluster, int] = {}
        """Posts seen of each local cluster."""
        self._events: list[ClusterEvent] = []

    def set_log_folder(self, folder: Path) -> None:
        """Keep exemplars in files below a folder; call it before `restore`."""
        self._global.set_log_folder(folder)

    def reserve_ids_to(self, highest: int) -> None:
        """Reserve the global ids up to `highest`: new clusters get greater ones."""
        self._global.reserve_ids_to(highest)

    def learn(self, shard: int, local: Cluster, embedding: Vector, context: ImageContext = NO_CONTEXT) -> Cluster:
        """Learn a post of a shard's cluster; return the global cluster, with the distance that the shard measured."""
        key = shard, local.id
        posts = self._posts[key] = self._posts.get(key, 0) + 1
        if posts & (posts - 1) == 0:
            self._ids[key] = self._global.learn(embedding, context, cluster=self._ids.get(key)).id
            self._follow_events()
        return Cluster(self._ids[key], local.distance)

    def forget_posts(self, posts: Collection[str]) -> None:
        """Delete the exemplars of posts."""
        self._global.forget_posts(posts)
        self._follow_events()

    def forget_author(self, author: str) -> None:
        """Delete the exemplars of an author."""
        self._global.forget_author(author)
        self._follow_events()

    def forget_urls(self, urls: Collection[str]) -> None:
        """Delete the exemplars of the images at URLs."""
        self._global.forget_urls(urls)
        self._follow_events()

    def apply(self, shard: int, event: ClusterEvent) -> None:
        """Apply an event of a shard's cluster to the global clusters."""
        key = shard, event.cluster
        if event.kind == "birth" or key not in self._ids:
            return
        if event.kind == "split" and event.into is not None:
            new = self._global.split(event.posts)
            if new is not None:  # otherwise the next post of the new local cluster starts a global one
                self._ids[shard, event.into], self._posts[shard, event.into] = new, len(event.posts)
            self._follow_events()
            return
        if event.into is not None and (shard, event.into) in self._ids:
            self._global.merge(self._ids[key], self._ids[shard, event.into])
            self._follow_events()
            self._posts[shard, event.into] += self._posts[key]
        del self._ids[key], self._posts[key]

    def events(self) -> list[ClusterEvent]:
        """Return the events of global clusters since the last call."""
        events, self._events = self._events, []
        return events

    def count(self) -> int:
        """Count the global clusters."""
        return self._global.count()

    def singletons(self) -> int | None:
        """Count the clusters with one image; None if `count` includes them."""
        return self._global.singletons()

    def state(self) -> State:
        """Return a snapshot of builtins and arrays."""
        return {
            "version": 1,
            "all": self._global.state(),
            "ids": dict(self._ids),
            "posts": dict(self._posts),
            "events": [(it.kind, it.cluster, it.into, it.posts) for it in self._events],
        }

    def restore(self, state: State) -> None:
        """Restore a snapshot."""
        self._global.restore(state["all"])
        self._ids, self._posts = dict(state["ids"]), dict(state["posts"])
        self._events = [ClusterEvent(*event) for event in state["events"]]

    def _follow_events(self) -> None:
        """Update the global ids after events of the global clusterer.

        A local cluster whose global one was retired or split loses its global id. Its next post decides which part it
        belongs to, or starts a new global cluster.
        """
        for event in self._global.events():
            self._events.append(event)
            if event.kind == "birth":
                continue
            for key in [key for key, cluster in self._ids.items() if cluster == event.cluster]:
                if event.into is None or event.kind == "split":
                    del self._ids[key], self._posts[key]
                else:
                    self._ids[key] = event.into

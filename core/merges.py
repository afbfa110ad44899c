"""Current cluster ids: after a merge, the old id still resolves to the surviving one."""

from collections.abc import Iterable, Mapping
from typing import Any

from core.records import ClusterEvent


class Merges:
    """Published merges and splits, for readers.

    A merge applies to clusters: every post with the old id now has the surviving id. A split applies to posts: those
    that move have the new id from then on, and the old id stays.
    """

    def __init__(self, events: Iterable[ClusterEvent] = ()) -> None:
        self._into: dict[int, int] = {}
        """Merges as published: a post that a split moved may have left a cluster midway along the chain."""
        self._short: dict[int, int] = {}
        """The same merges with paths compressed (union-find)."""
        self._moved: dict[str, dict[int, int]] = {}
        """Moves of each post by splits: old to new cluster."""
        self.add(events)

    def add(self, events: Iterable[ClusterEvent]) -> None:
        """Apply events in order; other kinds of event are ignored, and repeated events change nothing."""
        for event in events:
            if event.into is None:
                continue
            if event.kind == "merge":
                self._merge(self.resolve(event.cluster), self.resolve(event.into))
            elif event.kind == "split":
                for post in event.posts:
                    ways = self._moved.get(post, {})
                    # If it leads back already, the post has returned since, and the event is a repetition.
                    if not self._leads(event.into, event.cluster, ways):
                        self._moved[post] = {**ways, event.cluster: event.into}

    def resolve(self, cluster: int) -> int:
        """Return the current id of `cluster`: its own unless it was merged into another."""
        last = cluster
        while last in self._short:
            last = self._short[last]
        while cluster != last:  # compress the path
            following = self._short[cluster]
            self._short[cluster] = last
            cluster = following
        return last

    def current(self, post: str, cluster: int) -> int:
        """Return the current id of the cluster of `post`, which was assigned to `cluster` when it arrived."""
        moved = self._moved.get(post)
        if moved is None:
            return self.resolve(cluster)
        while True:
            following = moved.get(cluster, self._into.get(cluster))
            if following is None:
                return cluster
            cluster = following

    def moved(self) -> list[str]:
        """Return the ids of the posts that splits moved."""
        return list(self._moved)

    def state(self) -> dict[str, Any]:
        """Return the state as plain values, from which `of` restores it."""
        return {"into": dict(self._into), "moved": {post: dict(ways) for post, ways in self._moved.items()}}

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> "Merges":
        """Restore from a state."""
        made = cls()
        made._into, made._short = dict(state["into"]), dict(state["into"])
        made._moved = {post: dict(ways) for post, ways in state["moved"].items()}
        return made

    def _merge(self, source: int, target: int) -> None:
        if source == target:
            return
        self._into[source] = self._short[source] = target
        # A post that moved out of a cluster, and is in it again by this merge, is back: else its path would be a cycle.
        for post, ways in list(self._moved.items()):
            if target in ways and self._leads(ways[target], target, ways):
                del ways[target]
                if not ways:
                    del self._moved[post]

    def _leads(self, cluster: int, to: int, ways: Mapping[int, int]) -> bool:
        """Check whether a post with these moves that is in `cluster` leads to the cluster `to`."""
        while cluster != to:
            following = ways.get(cluster, self._into.get(cluster))
            if following is None:
                return False
            cluster = following
        return True

"""Which id a cluster goes by now: two that turn out to be one get one id, and the other id still leads there."""

from collections.abc import Iterable, Mapping
from typing import Any

from core.records import ClusterEvent


class Merges:
    """Published merges and splits, as a reader needs them.

    A merge is of clusters: every post that has the one id goes by the other. A split is of posts: those that move go
    by the new id from then on, and the old id stays.
    """

    def __init__(self, events: Iterable[ClusterEvent] = ()) -> None:
        self._into: dict[int, int] = {}
        """As they were published: a post that moved left a cluster on its way."""
        self._short: dict[int, int] = {}
        """To the same ends, by the shortest way that is known."""
        self._moved: dict[str, dict[int, int]] = {}
        """Of each post that moved: from where to where."""
        self.add(events)

    def add(self, events: Iterable[ClusterEvent]) -> None:
        """Take events in, in their order; one that is neither changes nothing, nor does one that comes again."""
        for event in events:
            if event.into is None:
                continue
            if event.kind == "merge":
                self._merge(self.resolve(event.cluster), self.resolve(event.into))
            elif event.kind == "split":
                for post in event.posts:
                    ways = self._moved.get(post, {})
                    if not self._leads(event.into, event.cluster, ways):  # else it has come back since: told twice
                        self._moved[post] = {**ways, event.cluster: event.into}

    def resolve(self, cluster: int) -> int:
        """The id by which `cluster` goes now: its own, where it was never merged into another."""
        last = cluster
        while last in self._short:
            last = self._short[last]
        while cluster != last:  # the next way is short
            following = self._short[cluster]
            self._short[cluster] = last
            cluster = following
        return last

    def current(self, post: str, cluster: int) -> int:
        """The id by which the cluster goes now that `post` is in, which was given `cluster` when it arrived."""
        moved = self._moved.get(post)
        if moved is None:
            return self.resolve(cluster)
        while True:
            following = moved.get(cluster, self._into.get(cluster))
            if following is None:
                return cluster
            cluster = following

    def moved(self) -> list[str]:
        """Posts that a split moved."""
        return list(self._moved)

    def state(self) -> dict[str, Any]:
        """Plain values, from which `of` makes the same."""
        return {"into": dict(self._into), "moved": {post: dict(ways) for post, ways in self._moved.items()}}

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> "Merges":
        """Those of a state."""
        made = cls()
        made._into, made._short = dict(state["into"]), dict(state["into"])
        made._moved = {post: dict(ways) for post, ways in state["moved"].items()}
        return made

    def _merge(self, source: int, target: int) -> None:
        if source == target:
            return
        self._into[source] = self._short[source] = target
        # Who moved out of a cluster, and is in it again by this, is back: otherwise the way would have no end.
        for post, ways in list(self._moved.items()):
            if target in ways and self._leads(ways[target], target, ways):
                del ways[target]
                if not ways:
                    del self._moved[post]

    def _leads(self, cluster: int, to: int, ways: Mapping[int, int]) -> bool:
        """Whether a post with these ways that is in `cluster` is on its way to another."""
        while cluster != to:
            following = ways.get(cluster, self._into.get(cluster))
            if following is None:
                return False
            cluster = following
        return True

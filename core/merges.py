"""Which id a cluster goes by now: two that turn out to be one get one id, and the other id still leads there."""

from collections.abc import Iterable

from core.records import ClusterEvent


class Merges:
    """Published merges, as a reader needs them."""

    def __init__(self, events: Iterable[ClusterEvent] = ()) -> None:
        self._into: dict[int, int] = {}
        self.add(events)

    def add(self, events: Iterable[ClusterEvent]) -> None:
        """Take events in, in their order; one that is no merge changes nothing, nor does one that comes again."""
        for event in events:
            if event.into is None:
                continue
            source, target = self.resolve(event.cluster), self.resolve(event.into)
            if source != target:
                self._into[source] = target

    def resolve(self, cluster: int) -> int:
        """The id by which `cluster` goes now: its own, where it was never merged into another."""
        last = cluster
        while last in self._into:
            last = self._into[last]
        while cluster != last:  # the next way is short
            following = self._into[cluster]
            self._into[cluster] = last
            cluster = following
        return last

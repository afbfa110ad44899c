"""A bounded FIFO dict."""

from collections.abc import Iterable
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class BoundedDict(dict[K, V]):
    """A dict of at most `most` items that evicts the oldest; setting an item again does not renew its age.

    Only `bounded[key] = value` enforces the bound. Pickle `dict(bounded)`, so that reading it does not need this class.
    """

    __slots__ = ("most",)

    def __init__(self, most: int, items: Iterable[tuple[K, V]] = ()) -> None:
        super().__init__()
        self.most = most
        for key, value in items:
            self[key] = value

    def __setitem__(self, key: K, value: V) -> None:
        """Set an item, and evict the oldest one if there are too many."""
        dict.__setitem__(self, key, value)  # a third of the time that `super()` takes
        if len(self) > self.most:
            del self[next(iter(self))]

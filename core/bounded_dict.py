"""A dict that does not grow for ever."""

from collections.abc import Iterable
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class BoundedDict(dict[K, V]):
    """A dict that forgets its oldest items beyond `most`; an item that is set again keeps its age.

    Only `bounded[key] = value` counts. Pickle `dict(bounded)`, which does not need this class to be read again.
    """

    __slots__ = ("most",)

    def __init__(self, most: int, items: Iterable[tuple[K, V]] = ()) -> None:
        super().__init__()
        self.most = most
        for key, value in items:
            self[key] = value

    def __setitem__(self, key: K, value: V) -> None:
        """Set an item, and forget the oldest one where there are too many."""
        dict.__setitem__(self, key, value)  # a third of the time that `super()` takes
        if len(self) > self.most:
            del self[next(iter(self))]

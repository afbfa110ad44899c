"""What was taken back last, remembered: so that a post that comes after its own delete stays away.

Memory is bounded, and the oldest removals are forgotten first. Names are kept as hashes.
"""

import math
from collections.abc import Callable, Iterator
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final

import numpy as np

from core.bounded import Bounded
from core.records import Removal

REMEMBERED: Final = 16_384
_MOST_PICTURES: Final = 20
"""Of one post; no service that is read here takes more."""


def picture_ids(post_id: str) -> Iterator[str]:
    """What the pictures of a post may be called: as the post where there is one, else by number from 1 to 20."""
    yield post_id
    name, dash, source = post_id.rpartition("-")
    for number in range(1, _MOST_PICTURES + 1):
        yield f"{name}_{number}-{source}" if dash else f"{post_id}_{number}"


def ids_of(removal: Removal) -> list[str]:
    """What the pictures may be called that a removal names by their ids or by their post's."""
    ids = [removal.global_id, *(picture_ids(removal.post_id) if removal.post_id else ())]
    return [it for it in dict.fromkeys(ids) if it and it not in removal.kept]


class Removed:
    """The posts, URLs and accounts that were taken back for good last, and when.

    Args:
        state: A snapshot.
        most: So many are remembered.
    """

    def __init__(self, state: dict[str, Any] | None = None, most: int = REMEMBERED) -> None:
        self._times: Bounded[int, float] = Bounded(most)
        """By hash, in seconds since 1970; infinite where whatever comes is meant."""
        if state is not None:
            hashes, times = np.frombuffer(state["hashes"], np.uint64), np.frombuffer(state["times"], np.float64)
            for name, time in zip(hashes.tolist(), times.tolist(), strict=True):
                self._times[name] = time

    def __len__(self) -> int:
        """Count the names that are remembered."""
        return len(self._times)

    def note(self, removal: Removal) -> None:
        """Remember what is gone for good; of a post that has pictures left, nothing."""
        if removal.hidden is not None or removal.kept:
            return
        time = math.inf if removal.time is None else removal.time.timestamp()
        for name in _named(removal.global_id, removal.post_id, removal.url, removal.account):
            self._times[name] = max(time, self._times.pop(name, -math.inf))  # as the newest

    def has(
        self, global_id: str, post_id: str, account: str, changed: Callable[[], datetime | None], url: str = ""
    ) -> bool:
        """Whether a post was taken back after it was written or edited last.

        Args:
            global_id: Of one picture.
            post_id: Of the post as a whole.
            account: Who posted it, with the source.
            changed: Tells when it was written or edited last; asked where the answer depends on it.
            url: Of the picture.
        """
        if not self._times:
            return False
        found = [time for it in _named(global_id, post_id, url, account) if (time := self._times.get(it)) is not None]
        if not found:
            return False
        said = changed()
        return said is None or said.timestamp() <= max(found)

    def state(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "hashes": np.fromiter(self._times.keys(), np.uint64, len(self._times)).tobytes(),
            "times": np.fromiter(self._times.values(), np.float64, len(self._times)).tobytes(),
        }


def _named(global_id: str, post_id: str, url: str, account: str) -> Iterator[int]:
    for kind, name in (("id", global_id), ("post", post_id), ("url", url), ("account", account)):
        if name:
            digest = blake2b(name.encode(errors="surrogatepass"), digest_size=8, person=kind.encode()).digest()
            yield int.from_bytes(digest, "little")

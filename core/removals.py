"""What was taken back last, remembered: so that a post that comes after its own delete stays away.

Memory is bounded in number and in days, and the oldest removals are forgotten first. Names are kept as keyed hashes, so
that nobody can look up in a snapshot whether a name is among them without its key.
"""

import math
import os
import re
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final, NamedTuple, Self

import numpy as np

from core.bounded_dict import BoundedDict
from core.records import Post, Removal
from core.times import time_or_none

REMEMBERED: Final = 65_536
_DAY_SECONDS: Final = 86_400.0
_KEY_BYTES: Final = 16
_MOST_IMAGES: Final = 20
"""Of one post; no service that is read here takes more."""
_NUMBERED: Final = re.compile(r"_[0-9]+(?=(-[^-]*)?$)")
"""What the id of one of several images has, and that of its post has not."""


def image_ids(post_id: str) -> Iterator[str]:
    """What the images of a post may be called: as the post where there is one, else by number from 1 to 20."""
    yield post_id
    name, dash, source = post_id.rpartition("-")
    for number in range(1, _MOST_IMAGES + 1):
        yield f"{name}_{number}-{source}" if dash else f"{post_id}_{number}"


def without_number(global_id: str) -> str:
    """What the post as a whole is called, of which an id names one of several images; else the id itself."""
    return _NUMBERED.sub("", global_id)


def ids_of(removal: Removal) -> list[str]:
    """What the images may be called that a removal names by their ids or by their post's."""
    ids = [removal.global_id, *(image_ids(removal.post_id) if removal.post_id else ())]
    return [it for it in dict.fromkeys(ids) if it and it not in removal.kept]


class PostNames(NamedTuple):
    """What a post may be taken back by, and when it was written: little, since it goes from process to process."""

    global_id: str = ""
    post_id: str = ""
    url: str = ""
    account: str = ""
    edited: datetime | None = None
    created_time: str = ""

    @classmethod
    def of(cls, post: Post) -> Self:
        """Those of a post."""
        return cls(post.global_id, post.whole_id, post.url, post.account, post.edited, post.created_time)


class Removed:
    """The posts, URLs and accounts that were taken back for good last, and when.

    Args:
        state: A snapshot.
        most: So many are remembered,
        days: and for so long.
        now: Seconds since 1970.
        key: Of the hashes of names, where others are to know them too; by default one that nobody else has.
    """

    def __init__(
        self,
        state: dict[str, Any] | None = None,
        most: int = REMEMBERED,
        days: float = math.inf,
        now: Callable[[], float] = time.time,
        key: bytes = b"",
    ) -> None:
        self._times: BoundedDict[int, tuple[float, float]] = BoundedDict(most)
        """By hash, in seconds since 1970: the time of the removal, infinite where whatever comes is meant, and when it
        was read; the oldest first."""
        self._seconds = days * _DAY_SECONDS
        self._now = now
        # Before there was a key, hashes had none.
        self._key = (key or os.urandom(_KEY_BYTES)) if state is None else state.get("key", b"")
        if state is not None:
            hashes, times = np.frombuffer(state["hashes"], np.uint64), np.frombuffer(state["times"], np.float64)
            read = np.frombuffer(state["read"], np.float64) if "read" in state else np.full(len(times), now())
            for name, *of in zip(hashes.tolist(), times.tolist(), read.tolist(), strict=True):
                self._times[name] = of[0], of[1]

    def __len__(self) -> int:
        """Count the names that are remembered."""
        return len(self._times)

    def note(self, removal: Removal) -> list[tuple[int, float]]:
        """Remember what is gone for good; of a post that has images left, those that it may have had besides.

        Gives the hashes of their names, each with what `take` needs besides to remember the same.
        """
        if removal.hidden is not None:
            return []
        said, now = math.inf if removal.time is None else removal.time.timestamp(), self._now()
        self._let_go(now)
        gone = (
            [name for it in ids_of(removal) for name in self._named(it, "", "", "")]
            if removal.kept
            else self._named(removal.global_id, removal.post_id, removal.url, removal.account)
        )
        names = list(gone)
        for name in names:
            self.take(name, said, now)
        return [(name, said) for name in names]

    def take(self, name: int, said: float, read: float) -> None:
        """Remember what another noted, whose hashes have the same key.

        Args:
            name: The hash.
            said: The time of the removal, in seconds since 1970; infinite where it says none.
            read: When the other read it.
        """
        before, _ = self._times.pop(name, (-math.inf, read))
        self._times[name] = max(said, before), read  # as the newest

    def has(
        self, global_id: str, post_id: str, account: str, changed: Callable[[], datetime | None], url: str = ""
    ) -> bool:
        """Whether a post was taken back after it was written or edited last; as `removed_at`."""
        return self.removed_at(global_id, post_id, account, changed, url) is not None

    def removed_at(
        self, global_id: str, post_id: str, account: str, changed: Callable[[], datetime | None], url: str = ""
    ) -> float | None:
        """The time of the last removal of a post, where that came after it was written or edited last; else None.

        Args:
            global_id: Of one image.
            post_id: Of the post as a whole.
            account: Who posted it, with the source.
            changed: Tells when it was written or edited last; asked where the answer depends on it.
            url: Of the image.
        """
        if not self._times:
            return None
        since = self._now() - self._seconds
        known = (self._times.get(it) for it in self._named(global_id, post_id, url, account))
        found = [it[0] for it in known if it is not None and it[1] >= since]
        if not found:
            return None
        said, last = changed(), max(found)
        return last if said is None or said.timestamp() <= last else None

    def has_post(self, names: PostNames) -> bool:
        """Whether a post of these names was taken back after it was written or edited last."""

        def changed() -> datetime | None:
            return names.edited or time_or_none(names.created_time)

        return self.has(names.global_id, names.post_id, names.account, changed, names.url)

    def state(self) -> dict[str, Any]:
        """Plain values."""
        self._let_go(self._now())
        times = np.array(list(self._times.values()), np.float64).reshape(-1, 2)
        return {
            "key": self._key,
            "hashes": np.fromiter(self._times.keys(), np.uint64, len(self._times)).tobytes(),
            "times": times[:, 0].tobytes(),
            "read": times[:, 1].tobytes(),
        }

    def _let_go(self, now: float) -> None:
        """Forget what was read too long ago."""
        while self._times and self._times[first := next(iter(self._times))][1] < now - self._seconds:
            del self._times[first]

    def _named(self, global_id: str, post_id: str, url: str, account: str) -> Iterator[int]:
        for kind, name in (("id", global_id), ("post", post_id), ("url", url), ("account", account)):
            if name:
                encoded = name.encode(errors="surrogatepass")
                digest = blake2b(encoded, digest_size=8, key=self._key, person=kind.encode()).digest()
                yield int.from_bytes(digest, "little")

"""Recent removals, so that a post that arrives after its own delete is left out.

Memory is bounded in number and in days; the oldest removals are evicted first. Names are stored as keyed hashes, so
that a snapshot cannot be searched for a name without its key.
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
"""Of one post; the services read here allow no more."""
_NUMBERED: Final = re.compile(r"_[0-9]+(?=(-[^-]*)?$)")
"""The number in the id of one of several images, which the id of its post lacks."""


def image_ids(post_id: str) -> Iterator[str]:
    """Yield possible ids of a post's images: the post's own if it has one image, else with a number from 1 to 20."""
    yield post_id
    name, dash, source = post_id.rpartition("-")
    for number in range(1, _MOST_IMAGES + 1):
        yield f"{name}_{number}-{source}" if dash else f"{post_id}_{number}"


def without_number(global_id: str) -> str:
    """Return the id of the whole post for the id of one of several images; other ids are returned unchanged."""
    return _NUMBERED.sub("", global_id)


def ids_of(removal: Removal) -> list[str]:
    """Return possible ids of the images that a removal names by image or by post."""
    ids = [removal.global_id, *(image_ids(removal.post_id) if removal.post_id else ())]
    return [it for it in dict.fromkeys(ids) if it and it not in removal.kept]


class PostNames(NamedTuple):
    """The names by which a post may be removed, and when it was written: small, since it is sent between processes."""

    global_id: str = ""
    post_id: str = ""
    url: str = ""
    account: str = ""
    edited: datetime | None = None
    created_time: str = ""

    @classmethod
    def of(cls, post: Post) -> Self:
        """Extract the names of a post."""
        return cls(post.global_id, post.whole_id, post.url, post.account, post.edited, post.created_time)


class Removed:
    """Set of removed posts, URLs and accounts, each with the time of its removal.

    Args:
        state: A snapshot to restore from.
        most: Maximum number of remembered names.
        days: Days after which a name is forgotten.
        now: Wall clock, in seconds since 1970.
        key: Key of the hashes, if they are shared with others; random by default.
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
        """By hash, oldest first: time of the removal and time when it was read, in seconds since 1970.

        The time of the removal is infinite if it applies to any later post too."""
        self._seconds = days * _DAY_SECONDS
        self._now = now
        # The first snapshots had unkeyed hashes.
        self._key = (key or os.urandom(_KEY_BYTES)) if state is None else state.get("key", b"")
        if state is not None:
            hashes, times = np.frombuffer(state["hashes"], np.uint64), np.frombuffer(state["times"], np.float64)
            read = np.frombuffer(state["read"], np.float64) if "read" in state else np.full(len(times), now())
            for name, *of in zip(hashes.tolist(), times.tolist(), read.tolist(), strict=True):
                self._times[name] = of[0], of[1]

    def __len__(self) -> int:
        """Return the number of remembered names."""
        return len(self._times)

    def note(self, removal: Removal) -> list[tuple[int, float]]:
        """Remember a delete; for a post that keeps some images, remember the ids that it may have had besides.

        Returns:
                    Hash and time of the removal of each name, by which `take` of another `Removed` remembers the same.
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
        """Remember a name that another `Removed` with the same key noted.

        Args:
            name: Its hash.
            said: Time of the removal, in seconds since 1970; infinite if it has none.
            read: When the other read it, in seconds since 1970.
        """
        before, _ = self._times.pop(name, (-math.inf, read))
        self._times[name] = max(said, before), read  # as the newest

    def has(
        self, global_id: str, post_id: str, account: str, changed: Callable[[], datetime | None], url: str = ""
    ) -> bool:
        """Check whether a post was removed after it was written or last edited; arguments as of `removed_at`."""
        return self.removed_at(global_id, post_id, account, changed, url) is not None

    def removed_at(
        self, global_id: str, post_id: str, account: str, changed: Callable[[], datetime | None], url: str = ""
    ) -> float | None:
        """Return the time of a post's last removal if it came after the post was written or last edited, else None.

        Args:
            global_id: Id of one image.
            post_id: Id of the whole post.
            account: The author's account, `AUTHOR@SOURCE`.
            changed: Returns when the post was written or last edited; called only if the answer depends on it.
            url: URL of the image.
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
        """Check whether a post with these names was removed after it was written or last edited."""

        def changed() -> datetime | None:
            return names.edited or time_or_none(names.created_time)

        return self.has(names.global_id, names.post_id, names.account, changed, names.url)

    def state(self) -> dict[str, Any]:
        """Return the state as plain values for a snapshot."""
        self._let_go(self._now())
        times = np.array(list(self._times.values()), np.float64).reshape(-1, 2)
        return {
            "key": self._key,
            "hashes": np.fromiter(self._times.keys(), np.uint64, len(self._times)).tobytes(),
            "times": times[:, 0].tobytes(),
            "read": times[:, 1].tobytes(),
        }

    def _let_go(self, now: float) -> None:
        """Evict what was read too long ago."""
        while self._times and self._times[first := next(iter(self._times))][1] < now - self._seconds:
            del self._times[first]

    def _named(self, global_id: str, post_id: str, url: str, account: str) -> Iterator[int]:
        for kind, name in (("id", global_id), ("post", post_id), ("url", url), ("account", account)):
            if name:
                encoded = name.encode(errors="surrogatepass")
                digest = blake2b(encoded, digest_size=8, key=self._key, person=kind.encode()).digest()
                yield int.from_bytes(digest, "little")

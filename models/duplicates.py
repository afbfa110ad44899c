"""Which image is a copy of one that came before: posted again, recompressed, scaled, with a watermark or a bar."""

from collections.abc import Collection
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from core.row_log import RowLog, check_reachable
from models.fingerprint import BYTES, GREYS, HASH_WORDS, copied

_REMEMBERED: Final = 100_000
"""Looks of images: one for each, and one more for each bar."""
_FIRST: Final = 1024
_ID_BYTES: Final = 96
"""Ids that have more bytes are kept apart."""
_ROW: Final[np.dtype[np.void]] = np.dtype(
    [("print", np.uint8, BYTES), ("whole", np.bool_), ("post", np.dtype(f"S{_ID_BYTES}"))]
)


@dataclass(frozen=True, slots=True)
class Original:
    """An image that came before."""

    post: str
    """Id of the post that showed it."""
    cluster: int


class Duplicates:
    """Fingerprints of the last images that were no copies."""

    def __init__(
        self, state: dict[str, Any] | None = None, *, log_folder: Path | None = None, remembered: int = _REMEMBERED
    ) -> None:
        """Begin, or go on from a state.

        Args:
            state: A snapshot.
            log_folder: Where fingerprints are kept in files, so that snapshots stay small.
            remembered: Looks at most.

        Raises:
            WorldError: where the files of a snapshot are not there.
        """
        self._remembered = remembered
        self._log = None if log_folder is None else RowLog(log_folder, _ROW)
        self._rows = np.zeros(_FIRST, _ROW)
        self._hashes: NDArray[np.uint64] = np.zeros((HASH_WORDS, _FIRST), np.uint64)
        self._clusters = np.zeros(_FIRST, np.int64)
        self._authors: NDArray[np.uint64] = np.zeros(_FIRST, np.uint64)
        """Hashes of who posted them, with the source; 0 where that is not known."""
        self._urls: NDArray[np.uint32] = np.zeros(_FIRST, np.uint32)
        """Short hashes of where they were; 0 where that is not known."""
        self._checksums: NDArray[np.uint32] = np.zeros(_FIRST, np.uint32)
        """Of the ids of their posts, by which these are found; not kept in a snapshot."""
        self._forgotten: set[int] = set()
        """Places of looks that were taken back: files keep them as they were."""
        self._long_ids: dict[int, str] = {}
        """Of looks whose id has many bytes, by place."""
        self._count = 0
        """Looks that ever were; the place of each is its number, modulo what is remembered."""
        self._logged = 0
        if state is not None:
            self._restore(state, log_folder)

    def original(self, global_id: str, fingerprint: bytes) -> Original | None:
        """What the image is a copy of; a post that comes again is no copy of itself."""
        found = self._nearest(fingerprint)
        return None if found is None or found.post == global_id else found

    def shows_the_same(self, global_id: str, fingerprint: bytes) -> bool:
        """Whether a post that comes again has the image that it had."""
        found = self._nearest(fingerprint)
        return found is not None and found.post == global_id

    def remember(self, global_id: str, fingerprint: bytes, cluster: int, author: str = "", url: str = "") -> None:
        """Keep the looks of an image that is no copy; the oldest ones go where there are too many."""
        for start in range(0, len(fingerprint), BYTES):
            place = self._count % self._remembered
            if place >= len(self._rows):
                self._grow()
            look = np.frombuffer(fingerprint[start : start + BYTES], np.uint8)
            self._rows[place] = look, start == 0, global_id.encode()[:_ID_BYTES]
            self._hashes[:, place] = look[:-GREYS].view(np.uint64)
            self._clusters[place], self._authors[place], self._urls[place] = cluster, _hash(author), _short(url)
            self._checksums[place] = crc32(global_id.encode()[:_ID_BYTES])
            self._forgotten.discard(place)
            self._long_ids.pop(place, None)
            if len(global_id.encode()) > _ID_BYTES:
                self._long_ids[place] = global_id
            self._count += 1

    def merge(self, cluster: int, into: int) -> None:
        """Two clusters are one now."""
        self._clusters[self._clusters == cluster] = into

    def split(self, posts: Collection[str], into: int) -> None:
        """Posts are in another cluster now."""
        for place in self._places_of(posts):
            self._clusters[place] = into

    def forget(self, global_ids: Collection[str]) -> None:
        """Forget the looks of the images of posts, those that are not known among them."""
        for place in self._places_of(global_ids):
            self._forget(place)

    def forget_author(self, author: str) -> None:
        """Forget the looks of an author's images."""
        known = min(self._count, self._remembered)
        for place in np.flatnonzero(self._authors[:known] == _hash(author)).tolist():
            self._forget(place)

    def forget_urls(self, urls: Collection[str]) -> set[str]:
        """Forget the looks of the images at addresses; gives the ids of their posts."""
        known = min(self._count, self._remembered)
        places = np.flatnonzero(np.isin(self._urls[:known], [_short(it) for it in urls])).tolist()
        posts = {self._post_at(place) for place in places}
        for place in places:
            self._forget(place)
        return posts

    def _places_of(self, posts: Collection[str]) -> list[int]:
        """Where the looks of posts are; most deletes are of posts that are not known, and there are many."""
        known = min(self._count, self._remembered)
        names = {it.encode()[:_ID_BYTES]: it for it in posts}
        near = np.flatnonzero(np.isin(self._checksums[:known], [crc32(it) for it in names]))
        found = ((place, names.get(self._rows["post"][place])) for place in near.tolist())
        return [place for place, name in found if name and self._long_ids.get(place, name) in posts]

    def _nearest(self, fingerprint: bytes) -> Original | None:
        known = min(self._count, self._remembered)
        rows = self._rows[:known]
        found = copied(fingerprint, self._hashes[:, :known], rows["print"][:, -GREYS:], rows["whole"])
        if found is None:
            return None
        return Original(self._post_at(found), int(self._clusters[found]))

    def _post_at(self, place: int) -> str:
        return self._long_ids.get(place) or self._rows["post"][place].decode()

    def _forget(self, place: int) -> None:
        noise = np.frombuffer(np.random.default_rng(place).bytes(BYTES), np.uint8)  # which no image looks like
        self._rows["print"][place] = noise
        self._hashes[:, place] = noise[:-GREYS].view(np.uint64)
        self._rows["whole"][place], self._rows["post"][place] = False, b""
        self._authors[place] = self._urls[place] = self._checksums[place] = 0
        self._long_ids.pop(place, None)
        self._forgotten.add(place)
        number = place + (self._count - 1 - place) // self._remembered * self._remembered
        if self._log is not None and number < self._logged:
            self._log.blank(np.array([len(self._log) - (self._logged - number)]))

    def state(self) -> dict[str, Any]:
        """Plain values."""
        known = min(self._count, self._remembered)
        kept: dict[str, Any] = {
            "count": self._count,
            "remembered": self._remembered,
            "clusters": self._clusters[:known].copy(),
            "authors": self._authors[:known].copy(),
            "urls": self._urls[:known].copy(),
            "forgotten": sorted(self._forgotten),
            "long_ids": dict(self._long_ids),
        }
        if self._log is None:
            return {**kept, "rows": self._rows[:known].tobytes()}
        new = np.arange(max(self._logged, self._count - self._remembered), self._count)
        self._log.append(self._rows[new % self._remembered])
        self._logged = self._count
        self._log.drop_all_but(np.arange(max(0, len(self._log) - known), len(self._log)))
        return {**kept, "log": self._log.mark()}

    def _restore(self, state: dict[str, Any], log_folder: Path | None) -> None:
        if "prints" in state:  # versions before looks were kept in files
            self._restore_first(state)
            return
        count, remembered = state["count"], state["remembered"]
        known = min(count, remembered)
        if "log" in state:
            folder = check_reachable(log_folder)
            self._log = RowLog(folder, _ROW, state["log"])
            # The last of the log are the last that were remembered; the oldest of them lies where the next will.
            newest = self._log.read(np.arange(len(self._log) - known, len(self._log)))
            rows = np.roll(newest, count % remembered) if count > remembered else newest
        else:
            rows = np.frombuffer(state["rows"], _ROW)
        clusters, long_ids = state["clusters"], state["long_ids"]
        # Versions before did not know these.
        authors = state.get("authors", np.zeros(known, np.uint64))
        urls = state.get("urls", np.zeros(known, np.uint32))
        forgotten = np.zeros(known, np.bool_)
        forgotten[state.get("forgotten", [])] = True
        if remembered != self._remembered:  # another number now: the last of them, from the first place on
            order = np.roll(np.arange(known), -(count % remembered) if count > remembered else 0)[-self._remembered :]
            rows, clusters, authors, urls, forgotten = (it[order] for it in (rows, clusters, authors, urls, forgotten))
            long_ids = {new: long_ids[old] for new, old in enumerate(order.tolist()) if old in long_ids}
            count = len(order)
        known = len(rows)
        while len(self._rows) < known:
            self._grow()
        self._rows[:known], self._clusters[:known], self._authors[:known], self._urls[:known] = (
            rows,
            clusters,
            authors,
            urls,
        )
        self._checksums[:known] = [crc32(it) for it in rows["post"].tolist()]
        self._hashes[:, :known] = np.ascontiguousarray(rows["print"][:, :-GREYS]).view(np.uint64).T
        self._long_ids, self._count = dict(long_ids), count
        self._logged = count if "log" in state and remembered == self._remembered else 0
        for place in np.flatnonzero(forgotten).tolist():
            self._forget(place)

    def _restore_first(self, state: dict[str, Any]) -> None:
        known = len(state["ids"])
        whole = np.broadcast_to(state.get("whole", True), known)  # before bars were looked for, all were whole
        order = np.roll(np.arange(known), -state["next"])
        for place in order.tolist():
            self.remember(state["ids"][place], state["prints"][place].tobytes(), -1)
            self._rows["whole"][self._count - 1] = whole[place]

    def _grow(self) -> None:
        rows = min(2 * len(self._rows), self._remembered)
        for name in ("_rows", "_clusters", "_authors", "_urls", "_checksums"):
            old = getattr(self, name)
            new = np.zeros(rows, old.dtype)
            new[: len(old)] = old
            setattr(self, name, new)
        hashes = np.zeros((HASH_WORDS, rows), np.uint64)
        hashes[:, : self._hashes.shape[1]] = self._hashes
        self._hashes = hashes


def _hash(name: str) -> np.uint64:
    encoded = name.encode(errors="surrogatepass")
    return np.uint64(int.from_bytes(blake2b(encoded, digest_size=8).digest()) if name else 0)


def _short(name: str) -> int:
    """Four bytes: of 100,000 looks one is taken for another in one of 40,000 deletes, and is then no original."""
    return int(_hash(name)) & 0xFFFFFFFF

"""Deduplicate images: find those posted again, recompressed, scaled, with a watermark or with a letterbox bar."""

from collections.abc import Collection
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from core.row_log import RowLog, check_reachable
from models.fingerprint import FINGERPRINT_BYTES, GREY_CELLS, HASH_WORDS, nearest_copy

_CAPACITY: Final = 100_000
"""Fingerprints: one for each image, and one more for each of its bars."""
_INITIAL_ROWS: Final = 1024
_ID_BYTES: Final = 96
"""Length of a post's id in a row. Longer ids are kept in a dict."""
_ROW: Final[np.dtype[np.void]] = np.dtype(
    [("print", np.uint8, FINGERPRINT_BYTES), ("whole", np.bool_), ("post", np.dtype(f"S{_ID_BYTES}"))]
)
"""What never changes of a fingerprint: it is appended to the log once. `whole`: the image was not cropped."""


@dataclass(frozen=True, slots=True)
class Original:
    """The first image that a duplicate was found for."""

    post: str
    """Id of the post that showed it."""
    cluster: int


class Duplicates:
    """A ring buffer of the fingerprints of the last images that were not duplicates.

    A row is one fingerprint: an image has one to three (see `fingerprint`). A full buffer overwrites its oldest row.
    """

    def __init__(
        self, state: dict[str, Any] | None = None, *, log_folder: Path | None = None, capacity: int = _CAPACITY
    ) -> None:
        """Start empty, or restore a snapshot.

        Args:
            state: A snapshot, as `state` returns it.
            log_folder: Folder of the files that hold fingerprints, so that snapshots stay small; None: snapshots do.
            capacity: Fingerprints at most.

        Raises:
            WorldError: If the files of the snapshot are missing.
        """
        self._capacity = capacity
        self._log = None if log_folder is None else RowLog(log_folder, _ROW)
        self._rows = np.zeros(_INITIAL_ROWS, _ROW)
        self._hashes: NDArray[np.uint64] = np.zeros((HASH_WORDS, _INITIAL_ROWS), np.uint64)
        self._clusters = np.zeros(_INITIAL_ROWS, np.int64)
        self._authors: NDArray[np.uint64] = np.zeros(_INITIAL_ROWS, np.uint64)
        """Hashes of the source and its author; 0: unknown."""
        self._urls: NDArray[np.uint32] = np.zeros(_INITIAL_ROWS, np.uint32)
        """Short hashes of the images' URLs; 0: unknown."""
        self._checksums: NDArray[np.uint32] = np.zeros(_INITIAL_ROWS, np.uint32)
        """CRC-32 of the post ids, to find rows by id; not part of a snapshot."""
        self._forgotten: set[int] = set()
        """Tombstones: rows that were deleted. The log may still hold their contents."""
        self._long_ids: dict[int, str] = {}
        """Post ids of more than `_ID_BYTES`, by row."""
        self._count = 0
        """Fingerprints added since the start; number i is in row i modulo `_capacity`."""
        self._logged = 0
        """How many of them the log holds."""
        if state is not None:
            self._restore(state, log_folder)

    def find_original(self, global_id: str, fingerprint: bytes) -> Original | None:
        """Return the image that this one duplicates, or None. A post is never a duplicate of itself."""
        found = self._nearest(fingerprint)
        return None if found is None or found.post == global_id else found

    def has_same_image(self, global_id: str, fingerprint: bytes) -> bool:
        """Check whether a known post, which was read again, still shows the same image."""
        found = self._nearest(fingerprint)
        return found is not None and found.post == global_id

    def remember(self, global_id: str, fingerprint: bytes, cluster: int, author: str = "", url: str = "") -> None:
        """Add the fingerprints of an image that is not a duplicate. If the buffer is full, the oldest are lost."""
        for start in range(0, len(fingerprint), FINGERPRINT_BYTES):
            row = self._count % self._capacity
            if row >= len(self._rows):
                self._grow()
            one = np.frombuffer(fingerprint[start : start + FINGERPRINT_BYTES], np.uint8)
            self._rows[row] = one, start == 0, global_id.encode()[:_ID_BYTES]
            self._hashes[:, row] = one[:-GREY_CELLS].view(np.uint64)
            self._clusters[row], self._authors[row], self._urls[row] = cluster, _hash(author), _short_hash(url)
            self._checksums[row] = crc32(global_id.encode()[:_ID_BYTES])
            self._forgotten.discard(row)
            self._long_ids.pop(row, None)
            if len(global_id.encode()) > _ID_BYTES:
                self._long_ids[row] = global_id
            self._count += 1

    def merge(self, cluster: int, into: int) -> None:
        """Apply a merge: originals of `cluster` now belong to `into`."""
        self._clusters[self._clusters == cluster] = into

    def split(self, posts: Collection[str], into: int) -> None:
        """Apply a split: originals of these posts now belong to `into`. Unknown posts are ignored."""
        for row in self._rows_of(posts):
            self._clusters[row] = into

    def forget(self, global_ids: Collection[str]) -> None:
        """Delete the fingerprints of posts. Unknown posts are ignored."""
        for row in self._rows_of(global_ids):
            self._forget(row)

    def forget_author(self, author: str) -> None:
        """Delete the fingerprints of an author's images."""
        known = min(self._count, self._capacity)
        for row in np.flatnonzero(self._authors[:known] == _hash(author)).tolist():
            self._forget(row)

    def forget_urls(self, urls: Collection[str]) -> set[str]:
        """Delete the fingerprints of the images at URLs; return the ids of their posts."""
        known = min(self._count, self._capacity)
        rows = np.flatnonzero(np.isin(self._urls[:known], [_short_hash(it) for it in urls])).tolist()
        posts = {self._post_at(row) for row in rows}
        for row in rows:
            self._forget(row)
        return posts

    def _rows_of(self, posts: Collection[str]) -> list[int]:
        """Find the rows of posts. Checksums keep this fast: deletes are many, and most are of unknown posts."""
        known = min(self._count, self._capacity)
        names = {it.encode()[:_ID_BYTES]: it for it in posts}
        candidates = np.flatnonzero(np.isin(self._checksums[:known], [crc32(it) for it in names]))
        found = ((row, names.get(self._rows["post"][row])) for row in candidates.tolist())
        return [row for row, name in found if name and self._long_ids.get(row, name) in posts]

    def _nearest(self, fingerprint: bytes) -> Original | None:
        known = min(self._count, self._capacity)
        rows = self._rows[:known]
        found = nearest_copy(fingerprint, self._hashes[:, :known], rows["print"][:, -GREY_CELLS:], rows["whole"])
        if found is None:
            return None
        return Original(self._post_at(found), int(self._clusters[found]))

    def _post_at(self, row: int) -> str:
        return self._long_ids.get(row) or self._rows["post"][row].decode()

    def _forget(self, row: int) -> None:
        """Overwrite a row with noise, which is near no image, and blank it in the log."""
        noise = np.frombuffer(np.random.default_rng(row).bytes(FINGERPRINT_BYTES), np.uint8)
        self._rows["print"][row] = noise
        self._hashes[:, row] = noise[:-GREY_CELLS].view(np.uint64)
        self._rows["whole"][row], self._rows["post"][row] = False, b""
        self._authors[row] = self._urls[row] = self._checksums[row] = 0
        self._long_ids.pop(row, None)
        self._forgotten.add(row)
        number = row + (self._count - 1 - row) // self._capacity * self._capacity
        if self._log is not None and number < self._logged:
            self._log.blank(np.array([len(self._log) - (self._logged - number)]))

    def state(self) -> dict[str, Any]:
        """Return a snapshot of builtins and arrays. With a log, new rows are appended there and left out of it."""
        known = min(self._count, self._capacity)
        kept: dict[str, Any] = {
            "count": self._count,
            "remembered": self._capacity,
            "clusters": self._clusters[:known].copy(),
            "authors": self._authors[:known].copy(),
            "urls": self._urls[:known].copy(),
            "forgotten": sorted(self._forgotten),
            "long_ids": dict(self._long_ids),
        }
        if self._log is None:
            return {**kept, "rows": self._rows[:known].tobytes()}
        new = np.arange(max(self._logged, self._count - self._capacity), self._count)
        self._log.append(self._rows[new % self._capacity])
        self._logged = self._count
        self._log.drop_all_but(np.arange(max(0, len(self._log) - known), len(self._log)))
        return {**kept, "log": self._log.mark()}

    def _restore(self, state: dict[str, Any], log_folder: Path | None) -> None:
        if "prints" in state:  # written before fingerprints were kept in files
            self._restore_first_version(state)
            return
        count, capacity = state["count"], state["remembered"]
        known = min(count, capacity)
        if "log" in state:
            folder = check_reachable(log_folder)
            self._log = RowLog(folder, _ROW, state["log"])
            # The last rows of the log are those of the ring buffer, oldest first. The oldest is the next to overwrite.
            newest = self._log.read(np.arange(len(self._log) - known, len(self._log)))
            rows = np.roll(newest, count % capacity) if count > capacity else newest
        else:
            rows = np.frombuffer(state["rows"], _ROW)
        clusters, long_ids = state["clusters"], state["long_ids"]
        # Snapshots of earlier versions lack these.
        authors = state.get("authors", np.zeros(known, np.uint64))
        urls = state.get("urls", np.zeros(known, np.uint32))
        forgotten = np.zeros(known, np.bool_)
        forgotten[state.get("forgotten", [])] = True
        if capacity != self._capacity:  # it changed since: keep the newest, and place the oldest of them in row 0
            order = np.roll(np.arange(known), -(count % capacity) if count > capacity else 0)[-self._capacity :]
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
        self._hashes[:, :known] = np.ascontiguousarray(rows["print"][:, :-GREY_CELLS]).view(np.uint64).T
        self._long_ids, self._count = dict(long_ids), count
        self._logged = count if "log" in state and capacity == self._capacity else 0
        for row in np.flatnonzero(forgotten).tolist():
            self._forget(row)

    def _restore_first_version(self, state: dict[str, Any]) -> None:
        known = len(state["ids"])
        whole = np.broadcast_to(state.get("whole", True), known)  # the very first did not crop bars
        order = np.roll(np.arange(known), -state["next"])
        for row in order.tolist():
            self.remember(state["ids"][row], state["prints"][row].tobytes(), -1)
            self._rows["whole"][self._count - 1] = whole[row]

    def _grow(self) -> None:
        """Double the arrays, up to the capacity."""
        rows = min(2 * len(self._rows), self._capacity)
        for name in ("_rows", "_clusters", "_authors", "_urls", "_checksums"):
            old = getattr(self, name)
            new = np.zeros(rows, old.dtype)
            new[: len(old)] = old
            setattr(self, name, new)
        hashes = np.zeros((HASH_WORDS, rows), np.uint64)
        hashes[:, : self._hashes.shape[1]] = self._hashes
        self._hashes = hashes


def _hash(name: str) -> np.uint64:
    """Hash to 8 bytes; the empty string to 0."""
    encoded = name.encode(errors="surrogatepass")
    return np.uint64(int.from_bytes(blake2b(encoded, digest_size=8).digest()) if name else 0)


def _short_hash(name: str) -> int:
    """Hash to 4 bytes. With 100,000 rows, one of 40,000 deletes collides; a wrong row is then lost as an original."""
    return int(_hash(name)) & 0xFFFFFFFF

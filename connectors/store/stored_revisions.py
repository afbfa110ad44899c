"""Revisions of the posts that a store held when a run began; a post that is written again gets the next revision.

They are recorded once, when a run begins that is not the last writer. The join tracks the revisions that the run itself
writes: one that is lost in a crash is assigned again.
"""

from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from connectors.sinks.record_table import POSTS
from connectors.store.interface import StorePlace
from connectors.store.lance_tables import tables_of
from core.atomic_file import atomic_write
from core.errors import WorldError

FILE: Final = "revisions.npy"
"""File in a store: uint64, shape (2, posts); sorted hashes of ids, and the revision of each."""


def note_revisions(store: StorePlace) -> None:
    """Record the revision of each post in a store.

    Raises:
        WorldError: if the store cannot be read.
        OSError: if the file cannot be written.
    """
    ids, revisions = _stored(store)
    hashes = np.fromiter(map(_hash, ids), np.uint64, len(ids))
    order = np.argsort(hashes)
    with atomic_write(tables_of(store).state / FILE) as file:
        np.save(file, np.stack([hashes[order], revisions[order]]))


def revisions_of(stores: Sequence[StorePlace]) -> Callable[[str], int]:
    """Return a function from a post's id to its highest revision recorded in any of these stores, 0 if none.

    Raises:
        WorldError: if a record cannot be read.
    """
    recorded = [it for store in stores if (it := _recorded(tables_of(store).state / FILE)) is not None]

    def revision_of(global_id: str) -> int:
        return max((_look_up(it, _hash(global_id)) for it in recorded), default=0)

    return revision_of


def _stored(store: StorePlace) -> tuple[list[str], NDArray[np.uint64]]:
    """Return the ids of the posts in a store and their revisions, 1 for rows of an earlier version without any."""
    tables = tables_of(store)
    ids: list[str] = []
    revisions: list[NDArray[Any]] = [np.empty(0, np.uint64)]
    for batch in tables.table(POSTS).batches(("global_id", "revision")) if tables.has(POSTS) else ():
        ids += batch.column("global_id").to_pylist()
        has_some = "revision" in batch.schema.names
        given = batch.column("revision").fill_null(1) if has_some else np.ones(batch.num_rows)
        revisions.append(np.asarray(given).astype(np.uint64))
    return ids, np.concatenate(revisions)


def _recorded(file: Path) -> NDArray[np.uint64] | None:
    try:
        # Processes share the mapping, and read only the pages that they need.
        recorded: NDArray[np.uint64] = np.load(file, mmap_mode="r")
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        raise WorldError(f"{file} is not a list of revisions: delete the file") from None
    return recorded if recorded.size else None


def _look_up(recorded: NDArray[np.uint64], wanted: int) -> int:
    hashes, revisions = recorded
    place = int(np.searchsorted(hashes, np.uint64(wanted)))
    return int(revisions[place]) if place < len(hashes) and hashes[place] == wanted else 0


def _hash(global_id: str) -> int:
    """Hash an id to 64 bits: among ten million posts, one store in 400,000 has a collision, which skips revisions."""
    return int.from_bytes(blake2b(global_id.encode(errors="surrogatepass"), digest_size=8).digest(), "little")

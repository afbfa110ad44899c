"""Which revision of a post a store held when a run began: a post that goes out again has the next one.

They are noted once, when a run begins that is not the one that wrote last. What the run itself writes is the join's to
know: a revision that was lost with a crash comes again.
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
"""In a store: hashes of ids, in order, and below them the revisions."""


def note_revisions(store: StorePlace) -> None:
    """Note which revision of each post a store holds; raises `WorldError`, and `OSError` where it cannot write."""
    ids, revisions = _there(store)
    hashes = np.fromiter(map(_hash, ids), np.uint64, len(ids))
    order = np.argsort(hashes)
    with atomic_write(tables_of(store).state / FILE) as file:
        np.save(file, np.stack([hashes[order], revisions[order]]))


def revisions_of(stores: Sequence[StorePlace]) -> Callable[[str], int]:
    """What gives the highest revision of a post that was noted in any of these stores, 0 where there is none.

    Raises:
        WorldError: where a note cannot be read.
    """
    noted = [it for store in stores if (it := _noted(tables_of(store).state / FILE)) is not None]

    def revision_of(global_id: str) -> int:
        return max((_look_up(it, _hash(global_id)) for it in noted), default=0)

    return revision_of


def _there(store: StorePlace) -> tuple[list[str], NDArray[np.uint64]]:
    """Ids of the posts in a store, and their revisions; a row that an earlier version wrote has none."""
    tables = tables_of(store)
    ids: list[str] = []
    revisions: list[NDArray[Any]] = [np.empty(0, np.uint64)]
    for batch in tables.table(POSTS).batches(("global_id", "revision")) if tables.has(POSTS) else ():
        ids += batch.column("global_id").to_pylist()
        has_some = "revision" in batch.schema.names
        given = batch.column("revision").fill_null(1) if has_some else np.ones(batch.num_rows)
        revisions.append(np.asarray(given).astype(np.uint64))
    return ids, np.concatenate(revisions)


def _noted(file: Path) -> NDArray[np.uint64] | None:
    try:
        noted: NDArray[np.uint64] = np.load(file, mmap_mode="r")  # shared by all processes, and read where it is asked
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        raise WorldError(f"{file} does not say which revisions there are: delete it") from None
    return noted if noted.size else None


def _look_up(noted: NDArray[np.uint64], wanted: int) -> int:
    hashes, revisions = noted
    place = int(np.searchsorted(hashes, np.uint64(wanted)))
    return int(revisions[place]) if place < len(hashes) and hashes[place] == wanted else 0


def _hash(global_id: str) -> int:
    """Eight bytes: of ten million posts, two have the same one once in 400,000 stores, and skip some revisions."""
    return int.from_bytes(blake2b(global_id.encode(errors="surrogatepass"), digest_size=8).digest(), "little")

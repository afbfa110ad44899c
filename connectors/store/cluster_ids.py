"""Allocation of cluster ids: each new run of a store takes ids above all existing ones and records that here.

The revisions of the stored posts are recorded at the same time.

A run is identified by its recovery folder. A run that resumes, or was killed before its first snapshot, finds itself
as the last entry, and starts at the same id again.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import reduce
from pathlib import Path
from typing import Final

import orjson
import pyarrow.compute as pc

from connectors.sinks.cluster_events import CLUSTERS
from connectors.sinks.record_table import CURRENT_COLUMN, HIDDEN, POSTS
from connectors.store.interface import Condition, StorePlace
from connectors.store.lance_tables import tables_of
from connectors.store.stored_revisions import note_revisions
from core.atomic_file import atomic_write
from core.errors import WorldError
from core.locks import locked
from core.merges import Merges
from core.records import ClusterEvent

_FILE: Final = "cluster-ids.json"
DELETED: Final = "cluster-ids.deleted"
"""File in a store with the highest cluster id of deleted posts, which no row shows any more."""
_ALL: Final = ((-1, None),)

IdRange = tuple[int, int | None]
"""Half-open range of ids: above the first number, up to and including the second; None is unbounded."""


@dataclass(frozen=True, slots=True)
class _Run:
    by: str
    above: int


def begin(store: StorePlace, identity: str, *, goes_on: bool, accept: Callable[[int], None]) -> int:
    """Record that a run writes a store, and reserve its range of cluster ids.

    Args:
        store: The store.
        identity: Identity of the run.
        goes_on: Whether the run already has clusters. In a store of an older version without records, the existing
            clusters are then the run's own.
        accept: Called with the id before anything is recorded; raises if the run cannot start above it.

    Returns:
        The id above which the run's clusters start, -1 for the first run of a store.

    Raises:
        WorldError: if the store cannot be read or written.
    """
    state = tables_of(store).state
    try:
        state.mkdir(parents=True, exist_ok=True)
        with locked(state / f"{_FILE}.lock"):
            runs = _recorded_runs(state)
            if not runs or runs[-1].by != identity:
                owns_all = goes_on and not runs
                above = -1 if owns_all else highest(store)
                accept(above)
                if not owns_all:
                    note_revisions(store)
                runs.append(_Run(identity, above))
                with atomic_write(state / _FILE) as file:
                    file.write(orjson.dumps([asdict(it) for it in runs]))
            return runs[-1].above
    except OSError as error:
        raise WorldError(f"cannot write in {state}: {error.strerror}") from None


def spans(state: Path) -> tuple[IdRange, ...]:
    """Return the ranges of cluster ids of the run that writes a store now; `state` is the store's local folder."""
    runs = _recorded_runs(state)
    if not runs:
        return _ALL
    ends = [it.above for it in runs[1:]]
    return tuple(
        (it.above, end) for it, end in zip(runs, [*ends, None], strict=True) if it.by == runs[-1].by and it.above != end
    )


def highest(store: StorePlace) -> int:
    """Return the highest cluster id that a store has or had, -1 if none; raises `WorldError`."""
    there = {
        POSTS: ("cluster", CURRENT_COLUMN.name),
        HIDDEN: ("cluster", CURRENT_COLUMN.name),
        CLUSTERS.name: ("cluster",),
    }
    tables = tables_of(store)
    found = highest_deleted(tables.state)
    for name, columns in there.items():
        if not tables.has(name):
            continue
        table = tables.table(name)
        for column in (it for it in columns if it in table.schema.names):
            for batch in table.batches([column], [Condition(column, ">", found)]):
                found = max(found, max(batch.column(0).to_pylist(), default=found))
    return found


def highest_deleted(state: Path) -> int:
    """Return the highest cluster id of deleted posts, -1 if none; raises `WorldError`."""
    try:
        return int((state / DELETED).read_text())
    except FileNotFoundError:
        return -1
    except (OSError, ValueError):
        raise WorldError(f"{state / DELETED} is not a cluster id (of deleted posts): delete the file") from None


def note_deleted(state: Path, cluster: int) -> None:
    """Record the cluster of a post before its row is deleted, so that the id is never reused; raises `WorldError`."""
    if cluster <= highest_deleted(state):
        return
    try:
        with atomic_write(state / DELETED) as file:
            file.write(str(cluster).encode())
    except OSError as error:
        raise WorldError(f"cannot write in {state}: {error.strerror}") from None


def stored_merges(store: StorePlace) -> Merges:
    """Return the merges and splits recorded in the table of clusters of a store; raises `WorldError`."""
    tables = tables_of(store)
    if not tables.has(CLUSTERS.name):
        return Merges()
    table = tables.table(CLUSTERS.name)
    found = table.to_arrow(["cluster", "into", "changed_time", "split_from", "moved"])
    is_event = [found.column(it).is_valid() for it in ("into", "moved") if it in found.column_names]
    rows = sorted(found.filter(reduce(pc.or_, is_event)).to_pylist(), key=lambda row: row["changed_time"] or "")
    return Merges(
        ClusterEvent("merge", row["cluster"], row["into"])
        if row["into"] is not None
        else ClusterEvent("split", row["split_from"], row["cluster"], tuple(row["moved"]))
        for row in rows
        if row["into"] is not None or row.get("moved")
    )


def _recorded_runs(state: Path) -> list[_Run]:
    try:
        return [_Run(**it) for it in orjson.loads((state / _FILE).read_bytes())]
    except FileNotFoundError:
        return []
    except (ValueError, TypeError):
        raise WorldError(f"{state / _FILE} is not a list of runs with their cluster ids: delete the file") from None

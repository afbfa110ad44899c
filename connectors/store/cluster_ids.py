"""Whose clusters a store holds: each run that begins anew takes ids above all that are there, and says so here.

Which revisions of posts are there is noted with it.

A run is told by its recovery folder. One that goes on, or was killed before its first snapshot, finds that it was the
last to begin, and begins where it began then.
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
"""In a store: the highest cluster of posts that were deleted, whose rows do not tell it any more."""
_ALL: Final = ((-1, None),)

IdRange = tuple[int, int | None]
"""Ids above the first number and up to the second; None: all."""


@dataclass(frozen=True, slots=True)
class _Begun:
    by: str
    above: int


def begin(store: StorePlace, identity: str, *, goes_on: bool, accept: Callable[[int], None]) -> int:
    """Note that a run writes a store; gives the id above which its clusters begin, -1 for the first in a store.

    Args:
        store: The store.
        identity: Of the run.
        goes_on: Whether it has clusters already, so that in a store of an older version those are its own.
        accept: Raises what is wrong with beginning above an id, before anything is noted.

    Raises:
        WorldError: where the store cannot be read or written.
    """
    state = tables_of(store).state
    try:
        state.mkdir(parents=True, exist_ok=True)
        with locked(state / f"{_FILE}.lock"):
            noted = _noted(state)
            if not noted or noted[-1].by != identity:
                is_custom = goes_on and not noted
                above = -1 if is_custom else highest(store)
                accept(above)
                if not is_custom:
                    note_revisions(store)
                noted.append(_Begun(identity, above))
                with atomic_write(state / _FILE) as file:
                    file.write(orjson.dumps([asdict(it) for it in noted]))
            return noted[-1].above
    except OSError as error:
        raise WorldError(f"{state}: {error.strerror}") from None


def spans(state: Path) -> tuple[IdRange, ...]:
    """The ids that the run that writes a store now has given or may give; `state` is its folder."""
    noted = _noted(state)
    if not noted:
        return _ALL
    ends = [it.above for it in noted[1:]]
    return tuple(
        (it.above, end)
        for it, end in zip(noted, [*ends, None], strict=True)
        if it.by == noted[-1].by and it.above != end
    )


def highest(store: StorePlace) -> int:
    """The highest id of a cluster that a store knows or knew, -1 where there is none; raises `WorldError`."""
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
    """The highest cluster of posts that were deleted, -1 where there is none; raises `WorldError`."""
    try:
        return int((state / DELETED).read_text())
    except FileNotFoundError:
        return -1
    except (OSError, ValueError):
        raise WorldError(f"{state / DELETED} does not say the highest cluster of deleted posts: delete it") from None


def note_deleted(state: Path, cluster: int) -> None:
    """Note the cluster of a post before its row is deleted, so that no other ever gets the id; raises `WorldError`."""
    if cluster <= highest_deleted(state):
        return
    try:
        with atomic_write(state / DELETED) as file:
            file.write(str(cluster).encode())
    except OSError as error:
        raise WorldError(f"{state}: {error.strerror}") from None


def stored_merges(store: StorePlace) -> Merges:
    """Merges and splits, as far as the table of clusters of a store tells them; raises `WorldError`."""
    tables = tables_of(store)
    if not tables.has(CLUSTERS.name):
        return Merges()
    table = tables.table(CLUSTERS.name)
    found = table.whole(["cluster", "into", "changed_time", "split_from", "moved"])
    told = [found.column(it).is_valid() for it in ("into", "moved") if it in found.column_names]
    rows = sorted(found.filter(reduce(pc.or_, told)).to_pylist(), key=lambda row: row["changed_time"] or "")
    return Merges(
        ClusterEvent("merge", row["cluster"], row["into"])
        if row["into"] is not None
        else ClusterEvent("split", row["split_from"], row["cluster"], tuple(row["moved"]))
        for row in rows
        if row["into"] is not None or row.get("moved")
    )


def _noted(state: Path) -> list[_Begun]:
    try:
        return [_Begun(**it) for it in orjson.loads((state / _FILE).read_bytes())]
    except FileNotFoundError:
        return []
    except (ValueError, TypeError):
        raise WorldError(f"{state / _FILE} does not say whose clusters there are: delete it") from None

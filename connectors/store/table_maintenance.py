"""Maintenance of a LanceDB table: compaction, indexes, and erasure of deleted rows from its files.

Compaction alone does not erase deleted rows: LanceDB rewrites a fragment only if a tenth of its rows were deleted, an
index keeps the values it was built from, and a version's manifest holds the condition by which rows were deleted.
"""

import warnings
from datetime import timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.memory import give_back_memory

_AT_ONCE: Final = 50_000
"""Rows per rewrite: their vectors are held in memory."""
_FRAGMENT_BITS: Final = 32
"""Lower bits of a row id, which hold the row's offset in its fragment; the upper bits hold the fragment's number."""


def compact_files(table: Any, *keys: str, drop_unfinished: bool = False) -> None:
    """Compact a LanceDB table into one version with few fragments, and bring its indexes up to date.

    Readers of an older version have to reopen the table. Raises LanceDB's errors.

    Args:
        table: LanceDB table.
        keys: Columns that get a scalar index if they lack one.
        drop_unfinished: Whether to delete files of interrupted writes, which belong to no version. LanceDB keeps them
            for seven days, since another writer may be writing them: set this only if no other writer can exist.
    """
    for key in keys:
        if not has_index(table, key):
            index_keys(table, key)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # LanceDB warns of concurrent writers, which the lock excludes
        table.optimize(cleanup_older_than=timedelta(0), delete_unverified=drop_unfinished)
        if len(table.list_versions()) > 1:  # `optimize` drops old versions before it updates indexes, a new version
            table.optimize(cleanup_older_than=timedelta(0), delete_unverified=drop_unfinished)
    give_back_memory()


def has_index(table: Any, column: str) -> bool:
    """Check whether a LanceDB table has an index over a column; raises LanceDB's errors."""
    return any(column in it.columns for it in table.list_indices())


def index_words(table: Any, *columns: str, rebuild: bool = False) -> None:
    """Create full-text indexes for columns of a LanceDB table that lack one; raises LanceDB's errors.

    Rows written later are found too, more slowly, until the next compaction.

    Args:
        table: LanceDB table.
        columns: Columns of text.
        rebuild: Whether to rebuild existing indexes too.
    """
    for column in columns:
        if rebuild or not has_index(table, column):
            table.create_index(column, config=word_index(), replace=True)
            give_back_memory()


def word_index() -> Any:
    """Return the configuration of a full-text index.

    It keeps stop words, since people search for "me at 3 am", and word positions, for phrases.
    """
    from lancedb.index import FTS

    return FTS(with_position=True, remove_stop_words=False)


def index_keys(table: Any, key: str) -> None:
    """Build a B-tree index over a column of a LanceDB table, replacing an existing one."""
    from lancedb.index import BTree  # imported late, as in `connectors.store.store_folder`

    table.create_index(key, config=BTree(), replace=True)
    give_back_memory()


def erase_deleted(table: Any) -> None:
    """Rewrite all fragments with deleted rows and rebuild all indexes; compact the table afterwards.

    A crash midway loses nothing, since each step commits a version. Raises LanceDB's errors.
    """
    for only_gaps in (True, False):  # deleted rows at the end of a fragment leave no gap in its row ids
        if holds_deleted(table):
            _rewrite(table, only_gaps=only_gaps)
    for index in table.list_indices():
        for column in index.columns:
            if index.index_type == "FTS":
                index_words(table, column, rebuild=True)
            else:
                index_keys(table, column)


def holds_deleted(table: Any) -> bool:
    """Check whether files of the latest version hold deleted rows; raises LanceDB's errors."""
    facts = table.stats()
    fragments = facts["fragment_stats"]
    return bool(round(fragments["lengths"]["mean"] * fragments["num_fragments"]) > facts["num_rows"])


def _rewrite(table: Any, *, only_gaps: bool) -> None:
    """Rewrite fragments with unchanged rows: those with gaps in their row ids, or all."""
    ids = _row_ids(table)
    column = table.schema.names[0]
    for number in np.unique(ids >> _FRAGMENT_BITS).tolist():
        start = number << _FRAGMENT_BITS
        end = int(ids[ids < start + (1 << _FRAGMENT_BITS)].max()) + 1
        rows = int(np.count_nonzero((ids >= start) & (ids < end)))
        if only_gaps and rows == end - start:
            continue
        for first in range(start, end, _AT_ONCE):
            last = min(first + _AT_ONCE, end)
            table.update(where=f"_rowid >= {first} AND _rowid < {last}", values_sql={column: column})


def _row_ids(table: Any) -> NDArray[np.int64]:
    batches = table.search().with_row_id(True).select([table.schema.names[0]]).to_batches()
    found = [batch.column("_rowid").to_numpy().astype(np.int64) for batch in batches]
    return np.concatenate([np.empty(0, np.int64), *found])

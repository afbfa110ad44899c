"""A LanceDB table kept in order: its files put together, its indexes made, what was deleted written out of its files.

To put a table together does not erase what was deleted: LanceDB writes a fragment anew only where a tenth of it went,
an index keeps the values that it was made of, and a version names the condition that rows were deleted by.
"""

import warnings
from datetime import timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.memory import give_back_memory

_AT_ONCE: Final = 50_000
"""Rows that are written anew together: their vectors lie in memory."""
_FRAGMENT_BITS: Final = 32
"""Of a row's id: below these it says where the row stands in its fragment."""


def compact_files(table: Any, *keys: str, drop_unfinished: bool = False) -> None:
    """Leave one version of a LanceDB table, in few files, with an index over its key and other columns.

    Whoever reads an older version meanwhile has to open the table again. Raises what LanceDB raises.

    Args:
        table: Of LanceDB.
        keys: Columns that have an index.
        drop_unfinished: Whether files go too that no version has, of a write that was cut off: LanceDB keeps them for
            seven days, since they may be of another writer. Only where there is none, and none can begin.
    """
    for key in keys:
        if not has_index(table, key):
            index_keys(table, key)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there must be no other writer: nobody else has the lock
        table.optimize(cleanup_older_than=timedelta(0), delete_unverified=drop_unfinished)
        if len(table.list_versions()) > 1:  # it drops old versions before it brings indexes up to date
            table.optimize(cleanup_older_than=timedelta(0), delete_unverified=drop_unfinished)
    give_back_memory()


def has_index(table: Any, column: str) -> bool:
    """Whether a LanceDB table has an index over a column; raises what LanceDB raises."""
    return any(column in it.columns for it in table.list_indices())


def index_words(table: Any, *columns: str, anew: bool = False) -> None:
    """Make full-text indexes of columns of a LanceDB table that lack one, or of all; raises what LanceDB raises.

    What is written later is found too, more slowly, until tables are put together.
    """
    for column in columns:
        if anew or not has_index(table, column):
            table.create_index(column, config=word_index(), replace=True)
            give_back_memory()


def word_index() -> Any:
    """The configuration of a full-text index.

    All words count, those that are in every text too: people look for "me at 3 am". Where they stand is kept, for
    phrases.
    """
    from lancedb.index import FTS

    return FTS(with_position=True, remove_stop_words=False)


def index_keys(table: Any, key: str) -> None:
    """Make an index over the values of a column of a LanceDB table, in place of one that is there."""
    from lancedb.index import BTree  # late, as in `connectors.store.store_folder`

    table.create_index(key, config=BTree(), replace=True)
    give_back_memory()


def erase_deleted(table: Any) -> None:
    """Write anew what stands in one file with deleted rows, and all indexes; put it together afterwards.

    Who dies amid it loses nothing: each step is a version of its own. Raises what LanceDB raises.
    """
    for only_gaps in (True, False):  # where the last rows of a fragment went, none of its places is missing
        if holds_deleted(table):
            _write_anew(table, only_gaps=only_gaps)
    for index in table.list_indices():
        for column in index.columns:
            if index.index_type == "FTS":
                index_words(table, column, anew=True)
            else:
                index_keys(table, column)


def holds_deleted(table: Any) -> bool:
    """Whether files of the latest version hold rows that were deleted; raises what LanceDB raises."""
    facts = table.stats()
    fragments = facts["fragment_stats"]
    return bool(round(fragments["lengths"]["mean"] * fragments["num_fragments"]) > facts["num_rows"])


def _write_anew(table: Any, *, only_gaps: bool) -> None:
    """Write the rows of fragments anew, unchanged: those that lack rows amid them, or all."""
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

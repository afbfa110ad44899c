"""Deletion of answers that quote deleted posts. `memewax serve` writes the table of answers, beside a flow."""

from collections.abc import Collection, Iterator
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from connectors.store.conditions import in_batches, sql_list
from connectors.store.lance_tables import LanceTables
from connectors.store.store_folder import READ_ERRORS
from connectors.store.table_keys import ANSWER_TABLES
from connectors.store.table_maintenance import compact_files, erase_deleted
from core.errors import WorldError, first_line

QUOTING: Final = "answers"
"""The table whose rows quote posts."""
_DRAFT_SECONDS: Final = 3600.0
"""Minimum age of temporary files to delete: a flow may be deleting answers, but no write takes so long."""
_TRIES: Final = 5
"""Attempts in case another writer commits at the same time."""


def drop_quoting(tables: LanceTables, posts: Collection[str], unless: int | None = None) -> int:
    """Delete the answers that quote any of these posts; raises `WorldError`.

    Args:
        tables: Tables of the store.
        posts: Ids of the posts.
        unless: Version of the table that has none; nothing is read if it is still the newest.

    Returns:
        Version of the table without them; 0 if there is no table.
    """
    if not posts or not tables.has(QUOTING):
        return 0
    for tries_left in reversed(range(_TRIES)):
        try:
            table = tables.opened(QUOTING)
            if table.version == unless:
                return int(table.version)
            for some in in_batches(list(_quoting(table, pa.array(sorted(posts))))):
                table.delete(f"{ANSWER_TABLES[QUOTING]} IN ({sql_list(some)})")
        except READ_ERRORS as error:
            if not tries_left:
                raise WorldError(f"the answers of {tables} cannot be written: {first_line(error)}") from None
        else:
            return int(table.version)
    raise AssertionError("the last attempt returns or raises")


def compact_answers(tables: LanceTables) -> None:
    """Compact the tables of answers, erasing deleted rows. Call it with the lock of answers held.

    Raises:
        WorldError: if a table cannot be read or written.
    """
    try:
        for name, key in ANSWER_TABLES.items():
            if tables.has(name):
                table = tables.opened(name)
                erase_deleted(table)
                compact_files(table, key)
                tables.drop_drafts(name, _DRAFT_SECONDS)
    except READ_ERRORS as error:
        raise WorldError(f"the answers of {tables} cannot be compacted: {first_line(error)}") from None


def _quoting(table: Any, posts: pa.Array) -> Iterator[str]:
    key = ANSWER_TABLES[QUOTING]
    for batch in table.search().select([key, "hits"]).to_batches():
        hits = batch.column("hits")
        quoted = pc.is_in(pc.struct_field(pc.list_flatten(hits), "id"), posts)
        yield from batch.column(key).take(pc.unique(pc.list_parent_indices(hits).filter(quoted))).to_pylist()

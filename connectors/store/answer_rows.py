"""The table of answers, which `memewax serve` writes."""

from collections.abc import Collection
from typing import Final

from connectors.sinks.record_table import HIDDEN, POSTS
from connectors.sinks.sink import Row
from connectors.store.conditions import listed, pieces
from connectors.store.lance_tables import LanceTables
from connectors.store.quoting_answers import drop_quoting
from connectors.store.store_folder import READ_ERRORS
from connectors.store.stored_table import StoredTable
from core.columns import Table
from core.errors import WorldError, first_line

_MOST: Final = 500
"""Names in one condition."""


class AnswerRows(StoredTable):
    """The table of answers, which holds none that quotes a post that was deleted before it was written.

    Who answers knows the posts as they were up to a refresh ago. So what an answer quotes is looked up once it is
    there: what is deleted later finds it.
    """

    def __init__(self, tables: LanceTables, table: Table) -> None:
        """Open or create it; raises `WorldError` as `StoredTable` does."""
        super().__init__(tables, table)
        self._tables = tables

    def upsert(self, rows: list[Row]) -> None:
        """Write answers, and take out those that quote a post that is gone; raises `WorldError`."""
        super().upsert(rows)
        quoted = {hit["id"] for row in rows if row["corpus"] == POSTS for hit in row["hits"]}
        drop_quoting(self._tables, quoted - self._there(quoted))

    def _there(self, ids: Collection[str]) -> set[str]:
        found: set[str] = set()
        try:
            for name in (POSTS, HIDDEN) if ids else ():
                if self._tables.has(name):
                    table = self._tables.opened(name)
                    for some in pieces(sorted(ids), _MOST):
                        rows = table.search().where(f"global_id IN ({listed(some)})").select(["global_id"])
                        found.update(rows.to_arrow().column("global_id").to_pylist())
        except READ_ERRORS as error:
            raise WorldError(f"the posts of {self._tables} cannot be read: {first_line(error)}") from None
        return found

"""Writer of the table of answers, used by `memewax serve`."""

from collections.abc import Collection

from connectors.sinks.record_table import POSTS
from connectors.sinks.sink import Row
from connectors.store.conditions import in_batches, sql_list
from connectors.store.lance_tables import LanceTables
from connectors.store.quoting_answers import drop_quoting
from connectors.store.store_folder import READ_ERRORS
from connectors.store.stored_table import StoredTable
from core.columns import Table
from core.errors import WorldError, first_line


class AnswerRows(StoredTable):
    """The table of answers, none of which quotes a deleted or hidden post.

    The server answers from posts as of its last refresh, some of which may have been deleted since. So the posts that
    an answer quotes are looked up after the answer was written: a delete that comes later finds the answer.
    """

    def __init__(self, tables: LanceTables, table: Table) -> None:
        """Open or create the table; raises `WorldError` as `StoredTable` does."""
        super().__init__(tables, table)
        self._tables = tables

    def upsert(self, rows: list[Row]) -> None:
        """Write answers, then delete those that quote a deleted or hidden post; raises `WorldError`."""
        super().upsert(rows)
        quoted = {hit["id"] for row in rows if row["corpus"] == POSTS for hit in row["hits"]}
        drop_quoting(self._tables, quoted - self._existing(quoted))

    def _existing(self, ids: Collection[str]) -> set[str]:
        """Return those ids that belong to posts that readers see."""
        found: set[str] = set()
        try:
            if ids and self._tables.has(POSTS):
                table = self._tables.opened(POSTS)
                for some in in_batches(sorted(ids)):
                    rows = table.search().where(f"global_id IN ({sql_list(some)})").select(["global_id"])
                    found.update(rows.to_arrow().column("global_id").to_pylist())
        except READ_ERRORS as error:
            raise WorldError(f"the posts of {self._tables} cannot be read: {first_line(error)}") from None
        return found

"""Answers in a store that quote posts: they go with the posts. `memewax serve` writes the table, beside a flow."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from connectors.store.conditions import listed, pieces
from connectors.store.store_folder import READ_ERRORS, opened
from connectors.store.table_upkeep import erase_deleted, put_together
from core.errors import WorldError, first_line

ANSWER_TABLES: Final = {"answers": "id", "results": "id"}
"""Tables of answers, and their keys; the first version's names no post."""
_QUOTING: Final = "answers"
_MOST: Final = 500
_TRIES: Final = 5
"""Against a writer that commits at the same time."""


def drop_quoting(store: Path, posts: Collection[str]) -> None:
    """Delete the answers that quote posts; raises `WorldError`."""
    if not posts or not (store / f"{_QUOTING}.lance").is_dir():
        return
    for tries_left in reversed(range(_TRIES)):
        try:
            table = opened(store).open_table(_QUOTING)
            for some in pieces(list(_quoting(table, pa.array(sorted(posts)))), _MOST):
                table.delete(f"{ANSWER_TABLES[_QUOTING]} IN ({listed(some)})")
        except READ_ERRORS as error:
            if not tries_left:
                raise WorldError(f"the answers of {store} cannot be written: {first_line(error)}") from None
        else:
            return


def compact_answers(store: Path) -> None:
    """Put tables of answers together, without what was deleted; to be called by who has the lock of answers.

    Raises `WorldError`.
    """
    try:
        for name, key in ANSWER_TABLES.items():
            if (store / f"{name}.lance").is_dir():
                table = opened(store).open_table(name)
                erase_deleted(table)
                put_together(table, key)
    except READ_ERRORS as error:
        raise WorldError(f"the answers of {store} cannot be put together: {first_line(error)}") from None


def _quoting(table: Any, posts: pa.Array) -> Iterator[str]:
    key = ANSWER_TABLES[_QUOTING]
    for batch in table.search().select([key, "hits"]).to_batches():
        hits = batch.column("hits")
        quoted = pc.is_in(pc.struct_field(pc.list_flatten(hits), "id"), posts)
        yield from batch.column(key).take(pc.unique(pc.list_parent_indices(hits).filter(quoted))).to_pylist()

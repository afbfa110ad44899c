"""Maintenance of a whole store in a bucket: statistics, compaction and removal of posts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from connectors.objects.object_tables import ObjectTables
from connectors.remnants import LookedFor, Remnant
from connectors.store.interface import TableFacts
from connectors.store.store_folder import READ_ERRORS
from connectors.store.store_maintenance import compact_tables, forget_in, matching_ids_in
from connectors.store.table_maintenance import holds_deleted
from connectors.store.table_remnants import COMPACTED, in_rows
from core.endings import plural
from core.errors import WorldError, first_line
from core.records import Removal


@dataclass(frozen=True, slots=True)
class BucketFacts(TableFacts):
    """Statistics of a table, summed over its writers."""

    writers: int


def tables_in_bucket(store: ObjectTables) -> list[str]:
    """List the tables; raises `WorldError` if there is none, or the bucket cannot be read."""
    names = store.names()
    if not names:
        raise WorldError(f"{store} is not a store: give the address that memewax wrote to with --store")
    return names


def facts_of_bucket(store: ObjectTables) -> list[BucketFacts]:
    """Return statistics of each table, reading all keys; raises `WorldError` if there is none to read."""
    found = []
    for name in tables_in_bucket(store):
        table = store.table(name)
        seen: set[object] = set()
        rows = 0
        for batch in table.batches([table.key]):
            rows += len(batch)
            seen.update(batch.column(0).to_pylist())
        found.append(BucketFacts(name, rows, rows - len(seen), len(store.writers_of(name))))
    return found


def compact_bucket(writers: Sequence[ObjectTables]) -> str:
    """Compact the tables of each writer; return a line for the user. Raises `WorldError`."""
    for it in writers:
        compact_tables(it)
    return f"compacted the tables of {plural(len(writers), 'writer')}"


def matching_ids_in_bucket(writers: Sequence[ObjectTables], removals: Sequence[Removal]) -> list[str]:
    """Return the distinct ids of the posts that removals refer to; raises `WorldError`."""
    return list(dict.fromkeys(id_ for it in writers for id_ in matching_ids_in(it, removals)))


def forget_in_bucket(writers: Sequence[ObjectTables], removals: Sequence[Removal]) -> str:
    """Apply removals to the tables of each writer; return a line for the user. Raises `WorldError`."""
    return "; ".join(forget_in(it, removals) for it in writers)


def in_bucket(store: ObjectTables, writers: Sequence[ObjectTables], names: LookedFor) -> Iterator[Remnant]:
    """Yield rows that hold given names, and tables whose older versions or deleted rows (not read) may hold them."""
    yield from in_rows(store, names)
    for it in writers:
        for name in (name for name in store.names() if it.has(name)):
            try:
                table = it.with_retries(lambda it=it, name=name: it.opened(name))  # type: ignore[misc]
                is_kept = len(table.list_versions()) > 1 or holds_deleted(table)
            except READ_ERRORS as error:
                raise WorldError(f"{store} cannot be read: {first_line(error)}") from None
            if is_kept:
                why = "its older versions and files may hold deleted rows: they are not searched"
                yield Remnant(f"table {it.own_name(name)}", why, COMPACTED)

"""A store in a bucket as a whole: its tables looked at, put together, and posts deleted from them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from connectors.objects.object_tables import ObjectTables
from connectors.remnants import LookedFor, Remnant
from connectors.store.interface import TableFacts
from connectors.store.store_folder import READ_ERRORS
from connectors.store.store_maintenance import compact_tables, forget_in, named_in
from connectors.store.table_maintenance import holds_deleted
from connectors.store.table_remnants import in_rows
from core.errors import WorldError, first_line
from core.records import Removal


@dataclass(frozen=True, slots=True)
class BucketFacts(TableFacts):
    """What a table of all writers is like."""

    writers: int


def check_there_in_bucket(store: ObjectTables) -> None:
    """Raise `WorldError` where there is no table, or the bucket cannot be read."""
    if not store.names():
        raise WorldError(f"{store} is not a store: give the address that memewax wrote to with --store")


def facts_of_bucket(store: ObjectTables) -> list[BucketFacts]:
    """Look at each table, reading its keys; raises `WorldError` where there is none, or one cannot be read."""
    check_there_in_bucket(store)
    found = []
    for name in store.names():
        table = store.table(name)
        seen: set[object] = set()
        rows = 0
        for batch in table.batches([table.key]):
            rows += len(batch)
            seen.update(batch.column(0).to_pylist())
        found.append(BucketFacts(name, rows, rows - len(seen), len(store.writers_of(name))))
    return found


def compact_bucket(writers: Sequence[ObjectTables]) -> str:
    """Put together the tables of each writer; says what was done. Raises `WorldError`."""
    for it in writers:
        compact_tables(it)
    return f"the tables of {len(writers)} writers were put together"


def named_in_bucket(writers: Sequence[ObjectTables], removals: Sequence[Removal]) -> list[str]:
    """The ids of the posts that removals name, each once; raises `WorldError`."""
    return list(dict.fromkeys(id_ for it in writers for id_ in named_in(it, removals)))


def forget_in_bucket(writers: Sequence[ObjectTables], removals: Sequence[Removal]) -> str:
    """Delete what is taken back; says what went. Raises `WorldError`."""
    return "; ".join(forget_in(it, removals) for it in writers)


def in_bucket(store: ObjectTables, writers: Sequence[ObjectTables], names: LookedFor) -> Iterator[Remnant]:
    """Look through the rows of all tables; what older versions and deleted rows hold is not read, but told of."""
    yield from in_rows(store, names)
    for it in writers:
        for name in (name for name in store.names() if it.has(name)):
            try:
                table = it.with_retries(lambda it=it, name=name: it.opened(name))  # type: ignore[misc]
                is_kept = len(table.list_versions()) > 1 or holds_deleted(table)
            except READ_ERRORS as error:
                raise WorldError(f"{store} cannot be read: {first_line(error)}") from None
            if is_kept:
                why = "its older versions and files may hold what was deleted: they are not looked through"
                yield Remnant(
                    f"table {it.own_name(name)}", why, "until tables are put together: `memewax store compact`"
                )

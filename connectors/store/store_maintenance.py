"""Maintenance of a whole LanceDB store that no flow is writing: compaction, removal and statistics."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from connectors.sinks.cluster_events import CLUSTERS
from connectors.sinks.record_table import HIDDEN, LOOKED_UP, POSTS, SEARCHED, THUMBNAILS
from connectors.store.interface import TableFacts
from connectors.store.keyed_table import KeyedTable
from connectors.store.lance_tables import LanceTables
from connectors.store.removed_posts import RemovedPosts
from connectors.store.store_folder import READ_ERRORS, read_latest, store_nearby
from connectors.store.table_keys import KEYS
from connectors.store.table_maintenance import compact_files, erase_deleted, index_words
from connectors.store.thumbnails import Thumbnails, drop_unused_in
from core.errors import WorldError, first_line
from core.records import Removal

_FLOW: Final = (POSTS, HIDDEN, CLUSTERS.name, THUMBNAILS.name)


@dataclass(frozen=True, slots=True)
class FolderFacts(TableFacts):
    """Statistics of a table in a folder; of the rows only the keys are read."""

    files: int
    mb: float
    versions: int
    fragments: int


def compact_store(store: Path) -> str:
    """Compact the tables that `memewax run` writes, erasing deleted rows from all files.

    Call it with the writer's lock held.

    Returns:
        Size and number of files before and after, for the user.

    Raises:
        WorldError: if a table cannot be read or written.
    """
    before = _size(store)
    compact_tables(LanceTables.at(store))
    files, size = _size(store)
    return f"from {before[1] / 1e6:,.1f} MB in {before[0]:,} files to {size / 1e6:,.1f} MB in {files:,}"


def compact_tables(tables: LanceTables) -> None:
    """Compact the tables of one writer in a folder or a bucket, erasing deleted rows; raises `WorldError`."""
    try:
        tables.with_retries(lambda: drop_unused_in(tables))
        for name in (it for it in _FLOW if tables.has(it)):
            tables.with_retries(lambda name=name: _compact(tables, name))  # type: ignore[misc]
    except READ_ERRORS as error:
        raise WorldError(f"{tables} cannot be compacted: {first_line(error)}") from None


def _compact(tables: LanceTables, name: str) -> None:
    table = tables.opened(name)
    if name == POSTS:
        index_words(table, *(it for it in SEARCHED if it in table.schema.names))
    erase_deleted(table)
    compact_files(table, KEYS[name], drop_unfinished=tables.has_one_writer)
    if tables.has_one_writer:
        tables.drop_drafts(name)


def forget_in(store: Path | LanceTables, removals: Sequence[Removal]) -> str:
    """Apply removals to the tables that `memewax run` writes; idempotent. Call it with the writer's lock held.

    Returns:
        How many rows were deleted, for the user.

    Raises:
        WorldError: if a table cannot be read or written.
    """
    tables = LanceTables.at(store)
    before = _rows(tables)
    if (removed := _removed_posts(tables)) is not None:
        removed.take(removals)
    return f"{before - _rows(tables):,} rows deleted"


def matching_ids_in(store: Path | LanceTables, removals: Sequence[Removal]) -> list[str]:
    """Return the ids of the posts in a store that removals refer to; raises `WorldError`."""
    removed = _removed_posts(LanceTables.at(store))
    return [] if removed is None else removed.matching_ids(removals)


def check_there_in(tables: LanceTables, names: Iterable[str] = KEYS) -> None:
    """Raise `WorldError` if none of some tables exists: by default of those that flows write."""
    if not any(tables.has(name) for name in names):
        raise WorldError(f"{tables} is not a store: give the folder that memewax wrote to with --store{store_nearby()}")


def facts_of(store: Path) -> list[FolderFacts]:
    """Return statistics of each table that flows write; raises `WorldError` if there is none to read."""
    check_there_in(LanceTables.at(store))
    try:
        return read_latest(lambda: [_facts(store, name, table) for name, table in _opened(store).items()])
    except READ_ERRORS as error:
        raise WorldError(f"{store} cannot be read: {first_line(error)}") from None


def _removed_posts(tables: LanceTables) -> RemovedPosts | None:
    if not tables.has(POSTS):
        return None
    posts = KeyedTable(tables, POSTS, KEYS[POSTS], tables.table(POSTS).schema, "revision", LOOKED_UP)
    return RemovedPosts(tables, posts, Thumbnails(tables))


def _rows(tables: LanceTables) -> int:
    return sum(tables.table(name).count() for name in (POSTS, HIDDEN) if tables.has(name))


def _opened(store: Path) -> dict[str, Any]:
    tables = LanceTables.at(store)
    return {name: tables.opened(name) for name in KEYS if tables.has(name)}


def _facts(store: Path, name: str, table: Any) -> FolderFacts:
    seen: set[Any] = set()
    rows = 0
    for batch in table.search().select([KEYS[name]]).to_batches():
        rows += len(batch)
        seen.update(batch.column(0).to_pylist())
    files, size = _size(store / f"{name}.lance")
    return FolderFacts(
        table=name,
        rows=rows,
        duplicates=rows - len(seen),
        files=files,
        mb=round(size / 1e6, 1),
        versions=len(table.list_versions()),
        fragments=int(table.stats()["fragment_stats"]["num_fragments"]),
    )


def _size(folder: Path) -> tuple[int, int]:
    """Return the number of files below a folder, and their bytes."""
    sizes = [file.stat().st_size for file in folder.rglob("*") if file.is_file()]
    return len(sizes), sum(sizes)

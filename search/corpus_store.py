"""The corpora of a store: their names, tables, folders and locks."""

from pathlib import Path
from typing import Any

from connectors.store.interface import StorePlace, TableReader
from connectors.store.lance_tables import tables_of
from connectors.store.store_folder import store_nearby
from core.errors import WorldError
from search.corpus_layout import MADE_KEY, NO_CORPORA, POSTS, layout_of


def corpus_names(store: StorePlace) -> list[str]:
    """List the names of the corpora in a store, sorted."""
    return sorted({*tables_of(store).names()} - NO_CORPORA)


def default_corpus(store: StorePlace) -> str:
    """Return the default corpus: the only one, or else `posts`; raise `WorldError` if the store has none."""
    names = corpus_names(store)
    if not names:
        raise WorldError(f"no corpus in {store}: fill one with `memewax run` or `memewax corpus load`{store_nearby()}")
    return names[0] if len(names) == 1 else POSTS


def table_facts(store: Path, name: str) -> dict[str, Any]:
    """Describe a corpus without reading its rows: name, rows, dimension, model, MB (10^6 bytes) on disk."""
    table = open_table(store, name)
    layout = layout_of(name, None)
    files = (store / f"{name}.lance").rglob("*")
    return {
        "corpus": name,
        "rows": table.count(),
        "dimension": table.schema.field(layout.vector).type.list_size,
        "model": layout.model(table),
        "mb": round(sum(file.stat().st_size for file in files if file.is_file()) / 1e6, 1),
    }


def corpus_folder(store: StorePlace, name: str) -> Path:
    """Return the folder of a corpus beside its table, for its lock, reductions and dead letters."""
    return tables_of(store).state / f"{name}.corpus"


def corpus_locks(store: Path) -> dict[Path, str]:
    """Return the folders that writers of the store's corpora lock, each with the message for when it is locked."""
    return {folder: corpus_busy(folder.stem) for folder in sorted(store.glob("*.corpus"))}


def corpus_creation_lock(store: Path) -> dict[Path, str]:
    """Return the lock that a writer of a corpus holds briefly at its start, and a backup of the store throughout."""
    return {store / "corpora.lock": f"{store} is being copied: wait until it has ended"}


def corpus_busy(name: str) -> str:
    """Return the error message for a corpus that another process is writing."""
    return f"the corpus {name!r} is being written by another process: wait until it has ended"


def open_table(store: StorePlace, name: str) -> TableReader:
    """Open the table of a corpus for reading; raise `WorldError` (listing the others) if it does not exist."""
    names = corpus_names(store)
    if name not in names:
        there = f"it has {', '.join(names)}" if names else "it has none yet"
        remedy = "fill it with `memewax run`" if name == POSTS else "make it with `memewax corpus load`"
        remedy += ", or choose another with --corpus" if names else ""
        raise WorldError(f"no corpus {name!r} in {store}: {there}; {remedy}")
    return tables_of(store).table(name)


def table_id(table: TableReader) -> bytes | None:
    """Return the unique id of a corpus's table, set when it was created; None for posts."""
    made: bytes | None = (table.schema.metadata or {}).get(MADE_KEY.encode())
    return made

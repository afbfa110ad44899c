"""The corpora of a store: which there are, their tables, and what lies beside them."""

from pathlib import Path
from typing import Any

from connectors.store.interface import StorePlace, TableReader
from connectors.store.lance_tables import tables_of
from connectors.store.store_folder import store_nearby
from core.errors import WorldError
from search.corpus_layout import MADE_KEY, NO_CORPORA, POSTS, layout_of


def corpus_names(store: StorePlace) -> list[str]:
    """The corpora in a store."""
    return sorted({*tables_of(store).names()} - NO_CORPORA)


def usual_corpus(store: StorePlace) -> str:
    """The corpus that is meant where none is named: posts, or the only one; raises `WorldError` where none is."""
    names = corpus_names(store)
    if not names:
        raise WorldError(
            f"no corpus in {store}: memewax run fills one with posts, memewax corpus load makes one{store_nearby()}"
        )
    return names[0] if len(names) == 1 else POSTS


def table_facts(store: Path, name: str) -> dict[str, Any]:
    """What a corpus is, without reading it: name, rows, dimension, model, MB on disk."""
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


def beside(store: StorePlace, name: str) -> Path:
    """Folder of what belongs to a corpus beside its table."""
    return tables_of(store).state / f"{name}.corpus"


def corpus_locks(store: Path) -> dict[Path, str]:
    """What whoever writes a corpus of a store has locked, each with what is said where another has it."""
    return {folder: corpus_busy(folder.stem) for folder in sorted(store.glob("*.corpus"))}


def making_corpora(store: Path) -> dict[Path, str]:
    """What whoever begins to write a corpus has locked for a moment, and whoever copies the store all the time."""
    return {store / "corpora.lock": f"{store} is being copied: wait until that has ended"}


def corpus_busy(name: str) -> str:
    """What is said where another writes a corpus."""
    return f"the corpus {name!r} is being written by another process: wait until it has ended"


def open_table(store: StorePlace, name: str) -> TableReader:
    """The table of a corpus; raises `WorldError` naming those that exist where it does not."""
    names = corpus_names(store)
    if name not in names:
        there = f"it has {', '.join(names)}" if names else "it has none yet"
        remedy = "memewax run fills it" if name == POSTS else "memewax corpus load makes one"
        remedy += ", --corpus asks another" if names else ""
        raise WorldError(f"no corpus {name!r} in {store}: {there}; {remedy}")
    return tables_of(store).table(name)


def made_id(table: TableReader) -> bytes | None:
    """Id that a corpus's table got when it was made; None for posts."""
    made: bytes | None = (table.schema.metadata or {}).get(MADE_KEY.encode())
    return made

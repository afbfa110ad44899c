"""The table of a corpus, for its loader: upsert by id, one writer at a time."""

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np

from connectors.store.keyed_table import KeyedTable
from connectors.store.store_folder import opened
from connectors.writer_locks import all_locked
from core.errors import SettingsError, WorldError
from core.locks import locked
from core.records import Vector
from models.identity import is_same
from search.corpus_layout import MODEL_KEY, NO_CORPORA, POSTS, corpus_schema
from search.corpus_store import corpus_busy, corpus_creation_lock, corpus_folder, open_table

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")

_MOMENT: Final = 2.0
"""Seconds to wait for the lock of another writer that is starting, which holds it for less."""


@dataclass(frozen=True, slots=True)
class CorpusRow:
    """A stored row, without its vector."""

    id: str
    text: str
    source: str | None
    created: datetime | None
    language: str | None
    metadata: str
    """JSON object."""
    text_hash: str
    """Hash of text and model; see `corpus_schema`."""
    row_hash: str


@dataclass(frozen=True, slots=True)
class Hashes:
    """Hashes of a stored row, by which changes are found."""

    text: str
    row: str


class CorpusTable(KeyedTable):
    """The table of one corpus, open for writing by one process."""

    def __init__(self, store: Path, name: str, dimension: int, model: str) -> None:
        """Open or create the table; raise `WorldError` if it holds vectors of another model or dimension."""
        super().__init__(store, name, "id", corpus_schema(dimension, model))
        found = (self.schema.metadata or {}).get(MODEL_KEY.encode(), b"").decode()
        self.model = found
        """Name of the model as it was when the corpus was created."""
        if not is_same(found, model) or self.schema.field("vector").type.list_size != dimension:
            raise WorldError(
                f"the corpus {name!r} was embedded by {found} and not by {model}: set MEMEWAX_TEXT_MODEL to that one, "
                f"or drop the corpus with `memewax corpus drop --name {name}` and load it again"
            )

    def hashes(self) -> dict[str, Hashes]:
        """Return the hashes of all rows, by id."""
        known: dict[str, Hashes] = {}
        for batch in self._table.search().select(["id", "text_hash", "row_hash"]).to_batches():
            columns = (batch.column(name).to_pylist() for name in ("id", "text_hash", "row_hash"))
            known |= {id_: Hashes(text, row) for id_, text, row in zip(*columns, strict=True)}
        return known

    def vectors(self, ids: Sequence[str]) -> dict[str, Vector]:
        """Return the vectors of rows, by id; unknown ids are left out."""
        if not ids:
            return {}
        listed = ", ".join("'" + id_.replace("'", "''") + "'" for id_ in ids)
        rows = self._table.search().where(f"id IN ({listed})").select(["id", "vector"]).to_arrow()
        vectors = rows.column("vector").to_pylist()
        return {
            id_: np.array(vector, np.float32)
            for id_, vector in zip(rows.column("id").to_pylist(), vectors, strict=True)
        }


def check_name(name: str) -> str:
    """Return the name if it is valid for a user's corpus; raise `SettingsError` otherwise."""
    if name == POSTS:
        raise SettingsError(f"the corpus {POSTS!r} is written by `memewax run`: choose another --name")
    if name in NO_CORPORA:
        raise SettingsError(f"the name {name!r} is reserved for a table of the store: choose another --name")
    if not _NAME.fullmatch(name):
        raise SettingsError(f"{name!r} is not a valid corpus name: use a-z, 0-9, - and _, at most 63 characters")
    return name


def drop_corpus(store: Path, name: str) -> None:
    """Delete a corpus and its folder (reductions, dead letters); raise `WorldError` if there is none."""
    check_name(name)
    open_table(store, name)
    with lock_corpus(store, name):
        opened(store).drop_table(name)
        shutil.rmtree(corpus_folder(store, name), ignore_errors=True)


@contextmanager
def lock_corpus(store: Path, name: str) -> Iterator[int]:
    """Hold the writer lock of a corpus.

    Yields:
        The locked file's descriptor.

    Raises:
        WorldError: Another process writes the corpus, or the store is being copied.
    """
    folder = corpus_folder(store, name)
    store.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        with all_locked(corpus_creation_lock(store), _MOMENT):  # so that no corpus is created during a backup
            folder.mkdir(exist_ok=True)
            lock = held.enter_context(locked(folder, wait=0, busy=corpus_busy(name)))
        yield lock

"""Loading of a file into a corpus: read, clean, embed new or changed texts, upsert. Idempotent."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import orjson

from connectors.row_file import RowFile
from connectors.row_formats import FileRow
from connectors.sinks.rows import json_of_dead_letter
from core.errors import BadRecordError
from core.records import DeadLetter, Failure, Message, Vector
from models.base import Embedder
from search.cleaning import Step, as_time
from search.corpus_columns import Columns, Draft, blake, row_hash
from search.corpus_table import CorpusRow, CorpusTable, Hashes

_CHUNK: Final = 1024
"""Rows per chunk, which are sorted by length, embedded and written together; a kill loses at most one chunk."""
_CHUNK_BYTES: Final = 32 * 2**20
"""Most bytes per chunk (raw row, text, metadata): a small compressed file may expand to very large rows."""
_MOST_DEAD_LETTERS: Final = 10_000
"""Most dead letters that are written beside the corpus; further ones are only counted."""


@dataclass(slots=True)
class Loaded:
    """Progress of a load, in rows."""

    read: int = 0
    cleaned: int = 0
    """Left after cleaning."""
    embedded: int = 0
    described: int = 0
    """Changed in their metadata only, so that the vector was reused."""
    unchanged: int = 0
    dead_letters: int = 0


class Loader:
    """Loads one file into one corpus.

    Args:
        file: The file.
        columns: Column of each role.
        steps: Cleaning steps, in order.
        model: Embeds the texts.
        table: Table of the corpus, open for writing.
    """

    def __init__(
        self, file: RowFile, columns: Columns, steps: list[Step], model: Embedder[str], table: CorpusTable
    ) -> None:
        self._file = file
        self._columns = columns
        self._steps = steps
        self._model = model
        self._table = table
        self._written = False
        self.loaded = Loaded()

    def run(self, dead_letters: Path, progress: Callable[[Loaded], None] = lambda _: None) -> Loaded:
        """Load the whole file.

        Args:
            dead_letters: File for the first 10,000 rows that cannot be used; replaced, and removed if there are none.
            progress: Called after each chunk.

        Raises:
            WorldError: The file is cut off, or the store cannot be written.
        """
        known = self._table.hashes()
        dead_letters.unlink(missing_ok=True)
        rows = self._rows(dead_letters)
        for chunk in _chunks(rows):
            self._write(chunk, known, dead_letters)
            progress(self.loaded)
        if self._written:
            self._table.compact()
        return self.loaded

    def _rows(self, dead_letters: Path) -> Iterator[tuple[FileRow, CorpusRow]]:
        """Yield the rows that are left after cleaning, each with its row of the file."""
        seen: set[bytes] = set()
        for read in self._file:
            self.loaded.read += 1
            try:
                row = self._cleaned(read, seen)
            except BadRecordError as error:
                self._lay_aside(dead_letters, read, "corpus_load", type(error).__name__, str(error))
                continue
            if row is not None:
                self.loaded.cleaned += 1
                yield read, row

    def _cleaned(self, read: FileRow, seen: set[bytes]) -> CorpusRow | None:
        """Return the row to store, or None if a step drops it; raise `BadRecordError` if it cannot be used."""
        if read.row is None:
            raise BadRecordError(read.reason)
        draft = self._columns.draft(read.row)
        if not all(step(draft) for step in self._steps):
            return None
        row = self._stored(draft)
        mark = blake2b(row.id.encode(), digest_size=8).digest()
        if mark in seen:
            raise BadRecordError(f"duplicate id {row.id!r}: an earlier row of this file has it")
        seen.add(mark)
        return row

    def _stored(self, draft: Draft) -> CorpusRow:
        if draft.text is None or draft.id is None:
            raise BadRecordError(f"the row has no {'text' if draft.text is None else 'id'}")
        created = as_time(draft)
        metadata = draft.metadata
        if created is None and draft.created is not None:  # not a time: keep the value in the metadata
            metadata = metadata | {"created": draft.created}
        hashed = row_hash(draft)
        return CorpusRow(
            id=draft.id,
            text=draft.text,
            source=draft.source,
            created=created,
            language=draft.language,
            metadata=orjson.dumps(metadata).decode(),
            text_hash=blake(self._table.model, draft.text),
            row_hash=blake(self._table.model, hashed),
        )

    def _write(self, chunk: list[tuple[FileRow, CorpusRow]], known: dict[str, Hashes], dead_letters: Path) -> None:
        nothing = Hashes("", "")
        changed = [(read, row) for read, row in chunk if known.get(row.id, nothing).row != row.row_hash]
        self.loaded.unchanged += len(chunk) - len(changed)
        kept = [row.id for _, row in changed if known.get(row.id, nothing).text == row.text_hash]
        vectors: dict[str, Vector | Failure] = dict(self._table.vectors(kept))
        self.loaded.described += len(vectors)
        fresh = [row for _, row in changed if row.id not in vectors]
        vectors |= self._embedded(fresh)
        rows: list[CorpusRow] = []
        found: list[dict[str, Any]] = []
        for read, row in changed:
            vector = vectors[row.id]
            if isinstance(vector, Failure):
                self._lay_aside(dead_letters, read, vector.stage, vector.exception, vector.reason)
                continue
            rows.append(row)
            found.append(asdict(row) | {"vector": vector})
        if rows:
            self._table.upsert(found)
            self._written = True
            known |= {row.id: Hashes(row.text_hash, row.row_hash) for row in rows}

    def _embedded(self, rows: list[CorpusRow]) -> dict[str, Vector | Failure]:
        """Embed texts, sorted by length since a batch is as slow as its longest text; return vectors by id."""
        ordered = sorted(rows, key=lambda row: len(row.text))
        answers = self._model([row.text for row in ordered])
        self.loaded.embedded += len(rows)
        return {row.id: answer for row, answer in zip(ordered, answers, strict=True)}

    def _lay_aside(self, file: Path, read: FileRow, stage: str, exception: str, reason: str) -> None:
        self.loaded.dead_letters += 1
        if self.loaded.dead_letters > _MOST_DEAD_LETTERS:
            return
        raw = read.raw or json.dumps(read.row, default=str).encode()  # json writes what orjson refuses
        dead_letter = DeadLetter(Message(raw, f"file:{self._file.path}:{read.number}"), stage, exception, reason)
        with file.open("ab") as out:
            out.write(json_of_dead_letter(dead_letter) + b"\n")


def _chunks(rows: Iterator[tuple[FileRow, CorpusRow]]) -> Iterator[list[tuple[FileRow, CorpusRow]]]:
    chunk: list[tuple[FileRow, CorpusRow]] = []
    size = 0
    for read, row in rows:
        chunk.append((read, row))
        size += len(read.raw) + len(row.text) + len(row.metadata)
        if len(chunk) == _CHUNK or size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk

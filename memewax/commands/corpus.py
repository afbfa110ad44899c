"""`memewax corpus`: texts with vectors and metadata, loaded from files, to find the nearest of."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from memewax.settings import load_settings

app = typer.Typer(no_args_is_help=True, help="Texts with vectors and metadata, to find the nearest of.")

_PEEK: Final = 100
"""Rows that are looked at for the columns there are."""

Store = Annotated[Path, typer.Option("--to", help="Folder of the store.")]
Name = Annotated[str, typer.Option(help="Name of the corpus.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
STORE: Final = Path("store")


@app.command()
def load(
    file: Annotated[Path, typer.Argument(help="A .json array, .jsonl, .csv or .parquet; all but the last also .gz.")],
    name: Name,
    to: Store = STORE,
    text: Annotated[str | None, typer.Option(help="Column of texts.")] = None,
    id_: Annotated[str | None, typer.Option("--id", help="Column of ids; where none is, a hash of the text.")] = None,
    created: Annotated[str | None, typer.Option(help="Column of times.")] = None,
    source: Annotated[str | None, typer.Option(help="Column of sources.")] = None,
    language: Annotated[str | None, typer.Option(help="Column of languages.")] = None,
    clean: Annotated[
        list[str] | None,
        typer.Option(help="A cleaning step, or a preset: tweets (all steps) or none; as often as you like, in order."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Load a file. Only what is new or changed is embedded: run it again after it was stopped, or the file grew."""
    from models.load import load_text
    from operators.corpus_cleaning import steps_of, usual_steps
    from operators.corpus_columns import Columns
    from operators.corpus_files import RowFile
    from operators.corpus_load import Loader
    from operators.corpus_table import CorpusTable, alone, check_name

    settings = load_settings()
    check_name(name)
    rows = RowFile(file)
    there = list(dict.fromkeys(column for it in islice(rows, _PEEK) for column in it.row or ()))
    columns = Columns.chosen(there, text=text, id=id_, created=created, source=source, language=language)
    steps = steps_of(clean or usual_steps(there), columns.named)
    start = time.perf_counter()
    with alone(to, name):
        model = load_text(settings)
        table = CorpusTable(to, name, model.dimension, model.name)
        loader = Loader(rows, columns, steps, model, table)
        dead_letters = to.with_name(f"{to.name}.{name}.dead-letters.jsonl")
        loading = time.perf_counter()
        with _bar(f"loading {name}", rows.size) as move:
            loaded = loader.run(dead_letters, lambda told: move(rows.done, f"{told.embedded:,} embedded"))
    seconds = time.perf_counter() - loading
    report = {
        "corpus": name,
        "model": model.name,
        "dimension": model.dimension,
        "columns": columns.named,
        "steps": [{"name": step.name, "changed": step.changed, "dropped": step.dropped} for step in steps],
        **asdict(loaded),
        "rows": table.count(),
        "seconds": round(seconds, 3),
        "model_seconds": round(loading - start, 3),
        "embedded_per_second": round(loaded.embedded / seconds, 1) if loaded.embedded else None,
    }
    if as_json:
        _write_json(report)
        return
    _print_rows(["step", "changed", "dropped"], [list(step.values()) for step in report["steps"]])
    _console().print(
        f"{loaded.read:,} rows read, {loaded.cleaned:,} after cleaning: {loaded.embedded:,} embedded, "
        f"{loaded.described:,} with new metadata, {loaded.unchanged:,} unchanged; {table.count():,} in {name} now"
    )
    if loaded.dead_letters:
        print(f"memewax: {loaded.dead_letters:,} rows could not be used: {dead_letters}", file=sys.stderr)


@app.command("list")
def list_(to: Store = STORE, as_json: AsJson = False) -> None:
    """List the corpora of a store."""
    from operators.corpora import corpus_names, table_facts

    facts = [table_facts(to, name) for name in corpus_names(to)]
    if as_json:
        _write_json({"corpora": facts})
        return
    _print_rows(["corpus", "rows", "dimension", "model", "MB"], [list(fact.values()) for fact in facts])


@app.command()
def drop(name: Name, to: Store = STORE) -> None:
    """Remove a corpus, and what was made from it, from the store."""
    from operators.corpus_table import drop_corpus

    drop_corpus(to, name)
    print(f"memewax: {name} is gone from {to}", file=sys.stderr)


@contextmanager
def _bar(title: str, total: float) -> Iterator[Any]:
    """A progress bar on stderr; what it gives is called with what is done of `total`, and a word on it."""
    shown = [TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %")]
    console = Console(file=sys.stderr)
    with Progress(
        *shown, TextColumn("{task.fields[word]}"), TimeRemainingColumn(), console=console, transient=True
    ) as progress:
        task = progress.add_task(title, total=total, word="")
        yield lambda done, word: progress.update(task, completed=done, word=word)


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else 160, highlight=False)


def _print_rows(columns: list[str], rows: list[list[Any]]) -> None:
    table = Table()
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row))
    _console().print(table)


def _write_json(report: dict[str, Any]) -> None:
    sys.stdout.write(orjson.dumps(report).decode() + "\n")

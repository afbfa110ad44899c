"""`memewax corpus`: corpora of texts with embeddings and metadata, loaded from files for nearest-neighbour search."""

import sys
import time
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Annotated, Final

import typer

from core.endings import plural
from core.errors import WorldError
from core.telemetry import configure_logging
from dataflows.all_settings import load_settings
from memewax.commands.corpus_output import AsJson, Name, StoreOption, bar, console, print_rows, store_of, write_json
from memewax.commands.corpus_reduce import reduce

app = typer.Typer(no_args_is_help=True, help="Load texts from files with their embeddings, to search for the nearest.")

_PEEK: Final = 100
"""Rows read in advance, to find the names of columns."""


@app.command()
def load(
    file: Annotated[
        Path,
        typer.Argument(
            help="A .json array, .jsonl, .csv, .tsv or .parquet; all but .parquet also compressed: .gz .bz2 .xz .zst."
        ),
    ],
    name: Name,
    store: StoreOption = None,
    text: Annotated[str | None, typer.Option(help="Column of texts.")] = None,
    id_: Annotated[str | None, typer.Option("--id", help="Column of ids; by default a hash of the text.")] = None,
    created: Annotated[str | None, typer.Option(help="Column of times.")] = None,
    source: Annotated[str | None, typer.Option(help="Column of sources.")] = None,
    language: Annotated[str | None, typer.Option(help="Column of languages.")] = None,
    clean: Annotated[
        list[str] | None,
        typer.Option(help="A cleaning step, or a preset: tweets (all steps) or none. Repeat it for several, in order."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Load a file. Only new and changed rows are embedded, so run it again after an interruption or a change."""
    from connectors.row_file import RowFile
    from models.loading import load_text
    from models.runtime import Runtime
    from search.cleaning import default_steps, steps_of
    from search.corpus_columns import Columns
    from search.corpus_loading import Loader
    from search.corpus_table import CorpusTable, check_name, lock_corpus

    settings = load_settings()
    configure_logging(settings.log_level)
    folder = store_of(store)
    check_name(name)
    rows = RowFile(file)
    first = list(islice(rows, _PEEK))
    there = list(dict.fromkeys(column for it in first for column in it.row or ()))
    if not there:
        why = next((f" that can be read: row {it.number}: {it.reason}" for it in first if it.reason), "")
        raise WorldError(f"{file} has no rows{why}")
    columns = Columns.chosen(there, text=text, id=id_, created=created, source=source, language=language)
    steps = steps_of(clean or default_steps(there), columns.by_role)
    start = time.perf_counter()
    with lock_corpus(folder, name):
        model = load_text(settings, Runtime.of(settings))
        table = CorpusTable(folder, name, model.dimension, model.name)
        loader = Loader(rows, columns, steps, model, table)
        dead_letters = folder.with_name(f"{folder.name}.{name}.dead-letters.jsonl")
        loading = time.perf_counter()
        with bar(f"loading {name}", rows.size) as move:
            loaded = loader.run(dead_letters, lambda report: move(rows.done, f"{report.embedded:,} embedded"))
    seconds = time.perf_counter() - loading
    report = {
        "corpus": name,
        "model": model.name,
        "dimension": model.dimension,
        "columns": columns.by_role,
        "steps": [{"name": step.name, "changed": step.changed, "dropped": step.dropped} for step in steps],
        **asdict(loaded),
        "rows": table.count(),
        "seconds": round(seconds, 3),
        "model_seconds": round(loading - start, 3),
        "embedded_per_second": round(loaded.embedded / seconds, 1) if loaded.embedded else None,
    }
    if as_json:
        write_json(report)
        return
    print_rows(["step", "changed", "dropped"], [list(step.values()) for step in report["steps"]])
    console().print(
        f"{plural(loaded.read, 'row')} read, {loaded.cleaned:,} after cleaning: {loaded.embedded:,} embedded, "
        f"{loaded.described:,} with new metadata, {loaded.unchanged:,} unchanged; {name} now has {table.count():,}"
    )
    if loaded.dead_letters:
        print(f"memewax: {plural(loaded.dead_letters, 'row')} could not be used: {dead_letters}", file=sys.stderr)


app.command()(reduce)


@app.command("list")
def list_(store: StoreOption = None, as_json: AsJson = False) -> None:
    """List the corpora of a store."""
    from search.corpus_store import corpus_names, table_facts

    folder = store_of(store)
    if not folder.is_dir():
        raise WorldError(
            f"store {folder} does not exist: `memewax run --to {folder}` or `memewax corpus load` creates it"
        )
    facts = [table_facts(folder, name) for name in corpus_names(folder)]
    if as_json:
        write_json({"corpora": facts})
        return
    if not facts:
        print(f"memewax: {folder} has no corpus yet; `memewax corpus load` creates one", file=sys.stderr)
        return
    print_rows(["corpus", "rows", "dimension", "model", "MB"], [list(fact.values()) for fact in facts])


@app.command()
def describe(
    name: Name,
    store: StoreOption = None,
    queries: Annotated[
        int, typer.Option(min=1, help="Number of rows whose neighbours are searched for, as a measurement.")
    ] = 200,
    as_json: AsJson = False,
) -> None:
    """Describe a corpus and its index: size, recall against exhaustive search, time and memory."""
    from search.corpus import Corpus
    from search.corpus_store import corpus_folder, table_facts
    from search.index_choice import IndexChoice
    from search.reduction import projection_names
    from search.search_figures import search_figures

    folder, start = store_of(store), time.perf_counter()
    corpus = Corpus.open(folder, name, index=IndexChoice.of(load_settings()))
    opened = time.perf_counter() - start
    report = {
        **table_facts(folder, name),
        "with_vector": corpus.count(),
        "reductions": projection_names(corpus_folder(folder, name)),
        "open_seconds": round(opened, 3),
        **asdict(search_figures(corpus.index, queries)),
    }
    if as_json:
        write_json(report)
    else:
        print_rows(["", name], [[key, value] for key, value in report.items() if key != "corpus"])


@app.command()
def drop(name: Name, store: StoreOption = None) -> None:
    """Delete a corpus and everything derived from it."""
    from search.corpus_table import drop_corpus

    folder = store_of(store)
    drop_corpus(folder, name)
    print(f"memewax: deleted corpus {name} from {folder}", file=sys.stderr)

"""Options, tables and progress bars shared by commands that read a store."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from connectors.endpoints import open_store
from connectors.store.store_folder import store_below
from core.errors import SettingsError
from core.untrusted_text import one_line, safe_json
from dataflows.all_settings import load_settings

if TYPE_CHECKING:
    from connectors.store.interface import Store


def folder_named(text: str) -> Path:
    """Parse the path of a folder; raises `SettingsError` for the address of a remote store."""
    if "://" in text:
        raise SettingsError(f"{text!r} is not a folder: this command needs a store in a local folder")
    return Path(text)


StoreOption = Annotated[
    Path | None,
    typer.Option("--store", "--to", help="Folder of the store; by default MEMEWAX_STORE.", parser=folder_named),
]
Name = Annotated[str, typer.Option(help="Name of the corpus.")]
ReadStore = Annotated[
    str | None,
    typer.Option("--store", help="Store that memewax wrote to, a folder or an address; by default MEMEWAX_STORE."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


@contextmanager
def bar(title: str, total: float) -> Iterator[Any]:
    """Show a progress bar on stderr if that is a terminal.

    Yields a function to call with the amount done, of `total`, and a short remark.
    """
    shown: list[ProgressColumn] = [
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
    ]
    console = Console(file=sys.stderr)
    shown += [TextColumn("{task.fields[word]}"), TimeRemainingColumn()]
    with Progress(*shown, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=total, word="")
        yield lambda done, word: progress.update(task, completed=done, word=word)


def store_of(named: Path | None) -> Path:
    """Return the folder of the named store, or by default that of the settings."""
    return store_below(load_settings().store if named is None else named)


def opened_store(named: str | None) -> "Store":
    """Open a store for reading, at the named address or by default that of the settings; raises `MemewaxError`."""
    settings = load_settings()
    is_elsewhere = named is not None and "://" in named
    place = (
        named if named is not None and is_elsewhere else store_below(settings.store if named is None else Path(named))
    )
    return open_store(place, settings, settings.state_dir)


def console() -> Console:
    """Return a console on stdout; 160 columns wide if stdout is not a terminal, so that tables fit."""
    return Console(width=None if sys.stdout.isatty() else 160, highlight=False)


def print_rows(columns: list[str], rows: list[list[Any]]) -> None:
    """Print a table on stdout."""
    table = Table()
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(f"{cell:,}" if isinstance(cell, int) else Text(one_line(str(cell))) for cell in row))
    console().print(table)


def write_json(report: dict[str, Any]) -> None:
    """Print a report as one line of JSON on stdout."""
    sys.stdout.write(safe_json(report) + "\n")

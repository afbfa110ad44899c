"""What the commands over corpora share: options, tables, progress."""

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
    """The folder that is named by a text; raises `SettingsError` where that is an address of a store elsewhere."""
    if "://" in text:
        raise SettingsError(f"{text!r} is no folder: name a store in a folder, since this is done nowhere else")
    return Path(text)


StoreOption = Annotated[
    Path | None,
    typer.Option("--store", "--to", help="Folder of the store; by default MEMEWAX_STORE.", parser=folder_named),
]
Name = Annotated[str, typer.Option(help="Name of the corpus.")]
ReadStore = Annotated[
    str | None,
    typer.Option("--store", help="The store that memewax wrote to, a folder or an address; by default MEMEWAX_STORE."),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]


@contextmanager
def bar(title: str, total: float) -> Iterator[Any]:
    """A progress bar on stderr, where a person looks.

    What it gives is called with what is done of `total`, and a word on it.
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
    """The store that is named, or else that of the settings."""
    return store_below(load_settings().store if named is None else named)


def opened_store(named: str | None) -> "Store":
    """The store at an address that is named, or else that of the settings, for who reads it; raises `MemewaxError`."""
    settings = load_settings()
    is_elsewhere = named is not None and "://" in named
    place = (
        named if named is not None and is_elsewhere else store_below(settings.store if named is None else Path(named))
    )
    return open_store(place, settings, settings.state_dir)


def console() -> Console:
    """Of stdout; wide enough for a table where nobody looks."""
    return Console(width=None if sys.stdout.isatty() else 160, highlight=False)


def print_rows(columns: list[str], rows: list[list[Any]]) -> None:
    """A table on stdout."""
    table = Table()
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(f"{cell:,}" if isinstance(cell, int) else Text(one_line(str(cell))) for cell in row))
    console().print(table)


def write_json(report: dict[str, Any]) -> None:
    """One line on stdout."""
    sys.stdout.write(safe_json(report) + "\n")

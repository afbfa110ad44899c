"""`memewax store`: look at a store, put its tables together, make one."""

import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from connectors.control.control_log import FOLDER, ControlLog, Request
from connectors.control.request_kinds import COMPACT, KINDS
from connectors.folder import Folder
from connectors.writing import all_locked, lock_files
from core.errors import BusyError, WorldError
from memewax.commands.corpus_shown import AsJson, print_rows, store_of, write_json

app = typer.Typer(no_args_is_help=True, help="Look at a store, and keep it in order.")

WrittenStore = Annotated[
    Path | None, typer.Option("--store", help="The folder that memewax wrote to; by default MEMEWAX_STORE.")
]
_TICK = 0.1
_OPEN_AT_ONCE = 1000


@app.command()
def check(store: WrittenStore = None, as_json: AsJson = False) -> None:
    """Say what is in the tables of a store, and whether any key is there twice (exit code 3)."""
    from connectors.store.whole_store import facts_of

    folder = store_of(store)
    found = facts_of(folder)
    if as_json:
        write_json({"store": str(folder), "tables": [asdict(it) for it in found]})
    else:
        names = list(asdict(found[0]))
        print_rows(names, [list(asdict(it).values()) for it in found])
    doubled = [f"{it.doubled:,} of {it.table}" for it in found if it.doubled]
    if doubled:
        raise WorldError(f"{folder} holds keys twice: {', '.join(doubled)}; two flows wrote it at once")


@app.command()
def compact(
    store: WrittenStore = None,
    wait: Annotated[bool, typer.Option(help="Wait until it is done.")] = True,
) -> None:
    """Put the tables of a store together and drop their old versions; a flow that runs does it itself."""
    from connectors.store.whole_store import facts_of

    folder = store_of(store)
    facts_of(folder)  # what is no store is said before anything is made in it
    log = ControlLog(folder / FOLDER)
    request = log.add(COMPACT.name, {})
    if wait:
        print(f"memewax: {folder}: {done(log, request, folder)}", file=sys.stderr)
    else:
        print(f"memewax: request {request.number} of {folder} waits for a flow or a command", file=sys.stderr)


@app.command()
def create(
    store: Annotated[Path, typer.Argument(help="Folder of the store.")],
) -> None:
    """Make the tables of a store, for the models of the settings, and say so; those that are there stay."""
    from connectors.sinks.cluster_events import CLUSTERS
    from connectors.sinks.record_table import stored_posts
    from connectors.store.posts_table import PostRows
    from connectors.store.stored_table import StoredTable
    from dataflows.all_settings import load_settings
    from models.loading import load_models

    models = load_models(load_settings())
    with all_locked(lock_files([Folder.at(store)])):
        posts = PostRows(store, stored_posts(models.dimensions))
        for name, table in (("posts", posts), (CLUSTERS.name, StoredTable(store, CLUSTERS))):
            print(f"memewax: {store} has the table {name} of {table.count():,} rows", file=sys.stderr)


def done(log: ControlLog, request: Request, store: Path) -> str:
    """Wait until a request is done, and give what was; where no flow has the store, do it here and now.

    Requests before it are done first. Raises `WorldError` where one of these needs a flow, or it was refused.
    """
    told = False
    while True:
        result = log.result(request.number)
        if result is not None:
            if result.startswith("refused"):
                raise WorldError(f"request {request.number} of {store} was {result}")
            return result
        try:
            with all_locked(lock_files([Folder.at(store)]), wait=0):
                _do_all(log, request.number, store)
        except BusyError:
            if not told:
                print("memewax: the flow that runs does it, at its next snapshot …", file=sys.stderr)
                told = True
            time.sleep(_TICK)


def _do_all(log: ControlLog, last: int, store: Path) -> None:
    for request in log.open_after(0, _OPEN_AT_ONCE):
        if request.number > last:
            return
        alone = KINDS[request.kind].alone
        if alone is None:
            raise WorldError(
                f"request {request.number} ({request.kind}) is before this one and needs a flow: memewax run"
            )
        log.mark(request.number, alone(store, request.body))

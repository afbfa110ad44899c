"""`memewax store`: look at a store, put its tables together, make one."""

import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connectors.control.control_log import FOLDER, ControlLog, Request
from connectors.control.request_kinds import COMPACT, KINDS
from connectors.endpoints import open_store
from core.errors import BusyError, SettingsError, WorldError
from memewax.commands.corpus_output import AsJson, ReadStore, opened_store, print_rows, write_json

if TYPE_CHECKING:
    from connectors.store.interface import Store

app = typer.Typer(no_args_is_help=True, help="Look at a store, and keep it in order.")

_TICK = 0.1
_OPEN_AT_ONCE = 1000


@app.command()
def check(store: ReadStore = None, as_json: AsJson = False) -> None:
    """Say what is in the tables of a store, and whether any key is there twice (exit code 3)."""
    opened = opened_store(store)
    found = opened.facts()
    _show(str(opened), [asdict(it) for it in found], as_json)
    doubled = [f"{it.doubled:,} of {it.table}" for it in found if it.doubled]
    if doubled:
        raise WorldError(f"{opened} holds keys twice: {', '.join(doubled)}; two flows wrote it at once")


@app.command()
def compact(
    store: ReadStore = None,
    wait: Annotated[bool, typer.Option(help="Wait until it is done.")] = True,
) -> None:
    """Put the tables of a store together and drop their old versions; a flow that runs does it itself."""
    opened = opened_store(store)
    opened.check_there()
    log = ControlLog(opened.state / FOLDER)
    request = log.add(COMPACT.name, {})
    if wait:
        print(f"memewax: {opened}: {done(log, request, opened)}", file=sys.stderr)
    else:
        print(f"memewax: request {request.number} of {opened} waits for a flow or a command", file=sys.stderr)


@app.command()
def create(
    store: Annotated[
        str, typer.Argument(help="The store: a folder, s3://BUCKET/PATH or cassandra://HOST:PORT/KEYSPACE.")
    ],
    copies: Annotated[
        int | None, typer.Option(min=1, max=9, help="Of each row in Cassandra; by default 3, or one a node.")
    ] = None,
    vector_index: Annotated[
        bool | None,
        typer.Option(
            "--vector-index/--no-vector-index", help="Whether vectors in Cassandra get an index, as by default."
        ),
    ] = None,
) -> None:
    """Make the tables of a store, for the models of the settings, and say so; those that are there stay."""
    from connectors.sinks.cluster_events import CLUSTERS
    from connectors.sinks.record_table import stored_posts
    from dataflows.all_settings import load_settings
    from models.loading import load_models

    settings = load_settings()
    opened = open_store(store, settings, settings.state_dir)
    opened.names()  # whether it answers is said before models are loaded
    table = stored_posts(load_models(settings).dimensions)
    told = opened.create([table, CLUSTERS], copies=copies, has_vector_indexes=vector_index)
    print(f"memewax: {opened} {told}", file=sys.stderr)


def _show(store: str, tables: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        write_json({"store": store, "tables": tables})
    else:
        print_rows(list(tables[0]), [list(it.values()) for it in tables])


@app.command()
def thumbnails(
    store: ReadStore = None,
    images: Annotated[Path | None, typer.Option(help="Folder that local paths of images lie in.")] = None,
    as_json: AsJson = False,
) -> None:
    """Fetch the images of posts that have no small one, such as those of an older store, while no flow writes it."""
    from connectors.store.missing_images import AddedImages, add_images
    from dataflows.all_settings import load_settings
    from operators.posts_input import fetcher

    opened = opened_store(store)
    folder = opened.folder
    settings = load_settings(**({"fetch_folder": images} if images else {}))
    if not settings.thumbnail_side:
        raise SettingsError("MEMEWAX_THUMBNAIL_SIDE is 0: set how many pixels the longer side has")
    so_far = AddedImages()
    for so_far in add_images(folder, fetcher(settings, thumbnail_side=settings.thumbnail_side)):
        if not as_json:
            print(f"memewax: {so_far.posts:,} posts looked at, {so_far.added:,} images added", file=sys.stderr)
    told = {"posts": so_far.posts, "added": so_far.added, "changed": so_far.changed, "failed": dict(so_far.failed)}
    if as_json:
        write_json({"store": str(opened), **told})
        return
    failed = "".join(f"; {count:,}: {cause}" for cause, count in so_far.failed.most_common())
    other = f"; {so_far.changed:,} are other files now" if so_far.changed else ""
    print(
        f"memewax: {opened}: {so_far.added:,} of {so_far.posts:,} posts have an image now{other}{failed}",
        file=sys.stderr,
    )


def done(log: ControlLog, request: Request, store: "Store", *, by_flow: bool = False) -> str:
    """Wait until a request is done, and give what was; where no flow has the store, do it here and now.

    Requests before it are done first. Raises `WorldError` where one of these needs a flow, or it was refused.

    Args:
        log: That has it.
        request: What is asked.
        store: Of the log.
        by_flow: Whether a flow is known to run that will do it, which the locks of some stores do not show.
    """
    told = False
    while True:
        result = log.result(request.number)
        if result is not None:
            if result.startswith("refused"):
                raise WorldError(f"request {request.number} of {store} was {result}")
            return result
        if not by_flow and _done_here(log, request.number, store):
            continue
        if not told:
            print("memewax: the flow that runs does it, at its next snapshot …", file=sys.stderr)
            told = True
        time.sleep(_TICK)


def _done_here(log: ControlLog, last: int, store: "Store") -> bool:
    try:
        with store.alone():
            _do_all(log, last, store)
    except BusyError:
        return False
    return True


def _do_all(log: ControlLog, last: int, store: "Store") -> None:
    for request in log.open_after(0, _OPEN_AT_ONCE):
        if request.number > last:
            return
        alone = KINDS[request.kind].alone
        if alone is None:
            raise WorldError(
                f"request {request.number} ({request.kind}) is before this one and needs a flow: memewax run"
            )
        log.mark(request.number, alone(store, request.body))

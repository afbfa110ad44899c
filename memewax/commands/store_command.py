"""`memewax store`: check, compact and create stores."""

import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connectors.control.control_log import FOLDER, ControlLog, Request
from connectors.control.request_kinds import COMPACT, KINDS
from connectors.endpoints import open_store
from core.endings import plural
from core.errors import BusyError, SettingsError, WorldError
from memewax.commands.corpus_output import AsJson, ReadStore, opened_store, print_rows, write_json

if TYPE_CHECKING:
    from connectors.store.interface import Store

app = typer.Typer(no_args_is_help=True, help="Check, compact and create stores.")

_TICK = 0.1
_OPEN_AT_ONCE = 1000


@app.command()
def check(store: ReadStore = None, as_json: AsJson = False) -> None:
    """Show the tables of a store; ends with exit code 3 if any has duplicate keys."""
    opened = opened_store(store)
    found = opened.facts()
    _show(str(opened), [asdict(it) for it in found], as_json)
    duplicates = [f"{it.duplicates:,} of {it.table}" for it in found if it.duplicates]
    if duplicates:
        raise WorldError(f"{opened} has duplicate keys: {', '.join(duplicates)}; two flows wrote it at once")


@app.command()
def compact(
    store: ReadStore = None,
    wait: Annotated[bool, typer.Option(help="Wait until it is done.")] = True,
) -> None:
    """Compact the tables of a store and delete their old versions; a running flow does this itself."""
    opened = opened_store(store)
    opened.check_there()
    log = ControlLog(opened.state / FOLDER)
    request = log.add(COMPACT.name, {})
    if wait:
        print(f"memewax: {opened}: {done(log, request, opened)}", file=sys.stderr)
    else:
        print(f"memewax: {opened}: request {request.number} is queued for a flow or command", file=sys.stderr)


@app.command()
def create(
    store: Annotated[str, typer.Argument(help="Store: a folder, s3://BUCKET/PATH or cassandra://HOST:PORT/KEYSPACE.")],
    copies: Annotated[
        int | None, typer.Option(min=1, max=9, help="Replicas of each row in Cassandra; by default 3, or one per node.")
    ] = None,
    vector_index: Annotated[
        bool | None,
        typer.Option(
            "--vector-index/--no-vector-index", help="Whether to index vectors in Cassandra; the default is to do so."
        ),
    ] = None,
) -> None:
    """Create the tables of a store for the configured models; existing tables are kept."""
    from connectors.sinks.cluster_events import CLUSTERS
    from connectors.sinks.record_table import stored_posts
    from dataflows.all_settings import load_settings
    from models.loading import load_models

    settings = load_settings()
    opened = open_store(store, settings, settings.state_dir)
    opened.names()  # report an unavailable store before models are loaded
    table = stored_posts(load_models(settings).dimensions)
    outcome = opened.create([table, CLUSTERS], copies=copies, has_vector_indexes=vector_index)
    print(f"memewax: {opened} {outcome}", file=sys.stderr)


def _show(store: str, tables: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        write_json({"store": store, "tables": tables})
    else:
        print_rows(list(tables[0]), [list(it.values()) for it in tables])


@app.command()
def thumbnails(
    store: ReadStore = None,
    images: Annotated[Path | None, typer.Option(help="Base folder of local image paths.")] = None,
    as_json: AsJson = False,
) -> None:
    """Fetch missing thumbnails of posts, such as those of an older store; no flow may be writing the store."""
    from connectors.store.missing_images import AddedImages, add_images
    from dataflows.all_settings import load_settings
    from operators.posts_input import fetcher

    opened = opened_store(store)
    folder = opened.folder
    settings = load_settings(**({"fetch_folder": images} if images else {}))
    if not settings.thumbnail_side:
        raise SettingsError(
            "MEMEWAX_THUMBNAIL_SIDE is 0, so there are no thumbnails: set it to the pixels of the longer side"
        )
    so_far = AddedImages()
    for so_far in add_images(folder, fetcher(settings, thumbnail_side=settings.thumbnail_side)):
        if not as_json:
            print(
                f"memewax: {plural(so_far.posts, 'post')} checked, {plural(so_far.added, 'thumbnail')} added",
                file=sys.stderr,
            )
    counts = {"posts": so_far.posts, "added": so_far.added, "changed": so_far.changed, "failed": dict(so_far.failed)}
    if as_json:
        write_json({"store": str(opened), **counts})
        return
    failed = "".join(f"; {count:,}: {cause}" for cause, count in so_far.failed.most_common())
    other = f"; {so_far.changed:,} have a different image file now" if so_far.changed else ""
    print(
        f"memewax: {opened}: added thumbnails to {so_far.added:,} of {plural(so_far.posts, 'post')}{other}{failed}",
        file=sys.stderr,
    )


def done(log: ControlLog, request: Request, store: "Store", *, by_flow: bool = False) -> str:
    """Wait until a request is done, and return its result; if no flow has the store, do it in this process.

    Earlier requests are done first. Raises `WorldError` if one of them needs a flow, or the request was refused.

    Args:
        log: The control log with the request.
        request: The request.
        store: The store of the log.
        by_flow: Whether a flow is known to be running that will do it; the locks of some stores do not show this.
    """
    is_reported = False
    while True:
        result = log.result(request.number)
        if result is not None:
            if result.startswith("refused"):
                raise WorldError(f"request {request.number} of {store} was {result}")
            return result
        if not by_flow and _done_here(log, request.number, store):
            continue
        if not is_reported:
            print("memewax: the running flow does this at its next snapshot …", file=sys.stderr)
            is_reported = True
        time.sleep(_TICK)


def _done_here(log: ControlLog, last: int, store: "Store") -> bool:
    try:
        with store.write_lock():
            _do_all(log, last, store)
    except BusyError:
        return False
    return True


def _do_all(log: ControlLog, last: int, store: "Store") -> None:
    for request in log.open_after(0, _OPEN_AT_ONCE):
        if request.number > last:
            return
        run_offline = KINDS[request.kind].run_offline
        if run_offline is None:
            raise WorldError(
                f"the earlier request {request.number} ({request.kind}) needs a flow: start it with memewax run"
            )
        log.mark(request.number, run_offline(store, request.body))

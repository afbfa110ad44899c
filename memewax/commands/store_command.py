"""`memewax store`: look at a store, put its tables together, make one."""

import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from connectors.control.control_log import FOLDER, ControlLog, Request
from connectors.control.request_kinds import COMPACT, KINDS
from connectors.endpoints import open_store
from connectors.folder import Folder
from connectors.writing import all_locked, lock_files
from core.errors import BusyError, SettingsError, WorldError
from memewax.commands.corpus_shown import AsJson, ReadStore, opened_store, print_rows, store_of, write_json

app = typer.Typer(no_args_is_help=True, help="Look at a store, and keep it in order.")

WrittenStore = Annotated[
    Path | None, typer.Option("--store", help="The folder that memewax wrote to; by default MEMEWAX_STORE.")
]
_TICK = 0.1
_OPEN_AT_ONCE = 1000


@app.command()
def check(store: ReadStore = None, as_json: AsJson = False) -> None:
    """Say what is in the tables of a store, and whether any key is there twice (exit code 3)."""
    from connectors.cassandra.cassandra_store import CassandraStore
    from connectors.cassandra.whole_keyspace import facts_of_keyspace
    from connectors.objects.object_store import ObjectStore
    from connectors.objects.whole_bucket import facts_of_bucket
    from connectors.store.whole_store import facts_of

    opened = opened_store(store)
    if isinstance(opened, CassandraStore):
        opened.check()
        _show(opened.address, [asdict(it) for it in facts_of_keyspace(opened.session)], as_json)
        return
    found = facts_of_bucket(opened) if isinstance(opened, ObjectStore) else facts_of(opened.state)
    _show(str(opened), [asdict(it) for it in found], as_json)
    doubled = [f"{it.doubled:,} of {it.table}" for it in found if it.doubled]
    if doubled:
        raise WorldError(f"{opened} holds keys twice: {', '.join(doubled)}; two flows wrote it at once")


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
    store: Annotated[
        str, typer.Argument(help="The store: a folder, s3://BUCKET/PATH or cassandra://HOST:PORT/KEYSPACE.")
    ],
    copies: Annotated[
        int | None, typer.Option(min=1, max=9, help="Of each row in Cassandra; by default 3, or one a node.")
    ] = None,
    vector_index: Annotated[
        bool, typer.Option(help="Whether vectors in Cassandra get an index, so that the nearest are found.")
    ] = True,
) -> None:
    """Make the tables of a store, for the models of the settings, and say so; those that are there stay."""
    from connectors.cassandra.cassandra_store import CassandraStore
    from connectors.objects.object_store import ObjectStore
    from connectors.sinks.cluster_events import CLUSTERS
    from connectors.sinks.record_table import stored_posts
    from connectors.store.posts_table import PostRows
    from connectors.store.stored_table import StoredTable
    from dataflows.all_settings import load_settings
    from models.loading import load_models

    settings = load_settings()
    opened = open_store(store, settings, settings.state_dir)
    if isinstance(opened, CassandraStore):
        opened.session  # noqa: B018 - whether it answers is said before models are loaded
    table = stored_posts(load_models(settings).dimensions)
    if isinstance(opened, CassandraStore):
        made = opened.create([table, CLUSTERS], replication=copies, has_vector_indexes=vector_index)
        print(f"memewax: {opened} has all tables, {made} copies of each row", file=sys.stderr)
        return
    if isinstance(opened, ObjectStore):
        opened.check()
        for made_table in (table, CLUSTERS):
            for part, _ in enumerate(opened.part_names(made_table.name)):
                opened.written(made_table, None, part, settings.forget_memory_days)
        print(f"memewax: {opened} has the tables {table.name} and {CLUSTERS.name}", file=sys.stderr)
        return
    folder = Path(store)
    with all_locked(lock_files([Folder.at(folder)])):
        for name, there in (("posts", PostRows(folder, table)), (CLUSTERS.name, StoredTable(folder, CLUSTERS))):
            print(f"memewax: {store} has the table {name} of {there.count():,} rows", file=sys.stderr)


def _show(store: str, tables: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        write_json({"store": store, "tables": tables})
    else:
        print_rows(list(tables[0]), [list(it.values()) for it in tables])


@app.command()
def thumbnails(
    store: WrittenStore = None,
    pictures: Annotated[Path | None, typer.Option(help="Folder that local paths of pictures lie in.")] = None,
    as_json: AsJson = False,
) -> None:
    """Fetch the pictures of posts that have no small one, such as those of an older store, while no flow writes it."""
    from connectors.store.missing_pictures import AddedPictures, add_pictures
    from dataflows.all_settings import load_settings
    from operators.posts_input import fetcher

    folder = store_of(store)
    settings = load_settings(**({"fetch_folder": pictures} if pictures else {}))
    if not settings.thumbnail_side:
        raise SettingsError("MEMEWAX_THUMBNAIL_SIDE is 0: set how many pixels the longer side has")
    so_far = AddedPictures()
    for so_far in add_pictures(folder, fetcher(settings, thumbnail_side=settings.thumbnail_side)):
        if not as_json:
            print(f"memewax: {so_far.posts:,} posts looked at, {so_far.added:,} pictures added", file=sys.stderr)
    told = {"posts": so_far.posts, "added": so_far.added, "changed": so_far.changed, "failed": dict(so_far.failed)}
    if as_json:
        write_json({"store": str(folder), **told})
        return
    failed = "".join(f"; {count:,}: {cause}" for cause, count in so_far.failed.most_common())
    other = f"; {so_far.changed:,} are other files now" if so_far.changed else ""
    print(
        f"memewax: {folder}: {so_far.added:,} of {so_far.posts:,} posts have a picture now{other}{failed}",
        file=sys.stderr,
    )


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

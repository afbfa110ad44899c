"""`memewax recovery`: show, check, create, redistribute, back up and restore recovery folders."""

import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from connectors.folder import Folder
from connectors.sources.split_messages import read_to
from connectors.writer_locks import ANSWERS, all_locked, lock_files
from core.endings import plural
from core.errors import WorldError
from memewax.commands.recovery import lock_recovery
from memewax.commands.recovery_shares import check_shares, gather, move
from operators.item_memory import CACHE
from operators.recovered import keys_of, states_of, steps_in
from operators.recovery_check import check_recovery, moving_folder
from operators.recovery_places import parts_of

app = typer.Typer(no_args_is_help=True, help="Show, check, redistribute, back up and restore recovery folders.")

_RECOVERY: Final = "recovery"
_STORE: Final = "store"

_Recovery = Annotated[Path, typer.Argument(help="Recovery folder, such as store.recovery.")]
_Store = Annotated[Path | None, typer.Option(help="Store of the same flow.")]


@app.command()
def show(recovery: _Recovery) -> None:
    """List the sources with their read positions, and the sinks."""
    check_recovery(recovery)
    for step_id in sorted(steps_in(recovery)):
        keys = sorted(keys_of(recovery, step_id))
        sys.stdout.write(f"{step_id}: {len(keys):,} {'state' if len(keys) == 1 else 'states'}\n")
        if step_id.endswith(".input") and not step_id.endswith("control.input"):
            for part, state in sorted(states_of(recovery, step_id).items()):
                position = read_to(state["position"]) or {}
                known = {name: position[name] for name in ("offset", "read_to", "turn") if name in position}
                facts = ", ".join(f"{name} {value:,}" for name, value in known.items())
                sys.stdout.write(f"  {part}: {facts or 'nothing read yet'}\n")
        elif ".sink" in step_id or ".store" in step_id:
            for key in keys:
                sys.stdout.write(f"  {key}\n")


@app.command()
def check(recovery: _Recovery) -> None:
    """Read a recovery folder completely; ends with exit code 3 if it is damaged."""
    check_recovery(recovery, thorough=True)
    sys.stdout.write(f"{recovery} is intact: {plural(len(parts_of(recovery)), 'partition')}\n")


@app.command()
def create(
    to: Annotated[list[Path], typer.Option(help="New folder of each process, in order; repeat it.")],
    parts: Annotated[int, typer.Option(help="Recovery partitions: the maximum number of processes ever.", min=1)] = 12,
) -> None:
    """Create the recovery folders of a new flow with one process per machine or pod."""
    _check_free(to)
    move((), to, parts=parts)
    sys.stdout.write(f"{plural(parts, 'partition')} distributed to {plural(len(to), 'recovery folder')}\n")


@app.command(name="move")
def moved(
    from_: Annotated[list[Path], typer.Option("--from", help="Folder of each process now, in order; repeat it.")],
    to: Annotated[list[Path], typer.Option(help="Folder of each process afterwards, in order; repeat it.")],
) -> None:
    """Redistribute the recovery partitions to another number of processes; if interrupted, run it again."""
    move(from_, to)
    sys.stdout.write(f"moved the partitions of {plural(len(from_), 'recovery folder')} to {len(to)}\n")


@app.command()
def backup(
    recovery: Annotated[
        list[Path], typer.Argument(help="Recovery folder; with several processes, that of each in order.")
    ],
    to: Annotated[Path, typer.Option(help="New folder for the backup.")],
    store: _Store = None,
) -> None:
    """Copy a recovery folder and then its store into a new folder, atomically; the flow must be stopped."""
    check_shares(recovery)
    if to.exists():
        raise WorldError(f"{to} exists already: name a new folder with --to")
    if store is not None and not store.is_dir():
        raise WorldError(f"store {store} does not exist")
    with ExitStack() as stack:
        for folder in recovery:
            stack.enter_context(lock_recovery(folder))
        stack.enter_context(_held(store))
        _copied(to, recovery, store)
    sys.stdout.write(f"{to} has a copy of {_listed(recovery)}{f' and {store}' if store else ''}\n")


@app.command()
def restore(
    backed_up: Annotated[Path, typer.Argument(help="Folder made by `memewax recovery backup`.")],
    recovery: Annotated[list[Path], typer.Option(help="New recovery folder; with several processes, one for each.")],
    store: Annotated[Path | None, typer.Option(help="New folder for the store.")] = None,
    aside: Annotated[bool, typer.Option("--aside", help="Rename existing folders to NAME.before-TIME.")] = False,
) -> None:
    """Copy a backup to new folders, for a flow to resume from; never overwrites anything."""
    check_recovery(backed_up / _RECOVERY, thorough=True)
    has_store = (backed_up / _STORE).is_dir()
    if has_store != (store is not None):
        found = "has a store: give its new folder with --store" if has_store else "has no store: leave out --store"
        raise WorldError(f"{backed_up} {found}")
    targets = [*recovery, *([store] if store is not None else [])]
    if aside:
        _set_aside([*targets, *map(moving_folder, recovery)])
    _check_free(targets)
    if store is not None:
        _whole_copy(backed_up / _STORE, store)
    whole = moving_folder(recovery[0])  # no flow starts before all folders have their share
    _whole_copy(backed_up / _RECOVERY, whole)  # the recovery folder last: no flow resumes without it
    move((), recovery)
    sys.stdout.write(f"{_listed(recovery)}{f' and {store}' if store else ''} restored from {backed_up}\n")


def _check_free(targets: list[Path]) -> None:
    for target in targets:
        if target.exists():
            raise WorldError(f"{target} exists already: move it elsewhere first")


def _set_aside(targets: list[Path]) -> None:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    for target in targets:
        if target.exists():
            try:
                target.rename(target.with_name(f"{target.name}.before-{stamp}"))
            except OSError as error:
                raise WorldError(f"{target} cannot be renamed: {error.strerror}") from None


def _listed(folders: list[Path]) -> str:
    return " and ".join(map(str, folders))


@contextmanager
def _held(store: Path | None) -> Iterator[None]:
    """Lock all tables of a store against present and future writers."""
    if store is None:
        yield
        return
    from search.corpus_store import corpus_creation_lock, corpus_locks  # imported late: loads Arrow

    places = [Folder.at(store)]
    tables = lock_files(places) | lock_files(places, ANSWERS)
    # List the corpora only when no more can be created.
    with all_locked(corpus_creation_lock(store)), all_locked(tables), all_locked(corpus_locks(store)):
        yield


def _copied(to: Path, recovery: list[Path], store: Path | None) -> None:
    """Copy the store last: rows written after the snapshots are processed again and overwritten (idempotent)."""
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"{to.name}.", dir=to.parent) as around:
            draft = Path(around, "backup")
            draft.mkdir()
            gather(recovery, draft / _RECOVERY)
            if store is not None:
                shutil.copytree(store, draft / _STORE, ignore=_without_cache)
            draft.rename(to)
    except (OSError, shutil.Error, sqlite3.Error) as error:
        raise WorldError(f"{to} cannot be written: {error}") from None


def _without_cache(folder: str, names: list[str]) -> list[str]:
    """Return the names to leave out of a backup: caches, which can be computed again."""
    return [name for name in names if name == CACHE and not Path(folder).suffix]


def _whole_copy(source: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"{target.name}.", dir=target.parent) as name:
            shutil.copytree(source, Path(name, "copy"))
            Path(name, "copy").rename(target)
    except (OSError, shutil.Error) as error:
        raise WorldError(f"{target} cannot be written: {error}") from None

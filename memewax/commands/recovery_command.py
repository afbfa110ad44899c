"""`memewax recovery`: what a recovery folder holds, whether it is sound, and copies of it with its store."""

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
from core.errors import WorldError
from memewax.commands.recovery import alone
from memewax.commands.recovery_shares import check_shares, gather, move
from operators.recovered import keys_of, states_of, steps_in
from operators.recovery_check import check_recovery, moving_of
from operators.recovery_places import parts_of
from operators.watching import CACHE

app = typer.Typer(no_args_is_help=True, help="What a recovery folder holds, whether it is sound, and copies of it.")

_RECOVERY: Final = "recovery"
_STORE: Final = "store"

_Recovery = Annotated[Path, typer.Argument(help="The recovery folder, as store.recovery.")]
_Store = Annotated[Path | None, typer.Option(help="The store that belongs to it.")]


@app.command()
def show(recovery: _Recovery) -> None:
    """List the sources that it knows with what was read of them, and the sinks."""
    check_recovery(recovery)
    for step_id in sorted(steps_in(recovery)):
        keys = sorted(keys_of(recovery, step_id))
        sys.stdout.write(f"{step_id}: {len(keys):,} {'state' if len(keys) == 1 else 'states'}\n")
        if step_id.endswith(".input") and not step_id.endswith("control.input"):
            for part, state in sorted(states_of(recovery, step_id).items()):
                position = read_to(state["position"]) or {}
                told = {name: position[name] for name in ("offset", "read_to", "turn") if name in position}
                facts = ", ".join(f"{name} {value:,}" for name, value in told.items())
                sys.stdout.write(f"  {part}: {facts or 'nothing read yet'}\n")
        elif ".sink" in step_id or ".store" in step_id:
            for key in keys:
                sys.stdout.write(f"  {key}\n")


@app.command()
def check(recovery: _Recovery) -> None:
    """Read all of it; a fault is one line and exit code 3."""
    check_recovery(recovery, thorough=True)
    sys.stdout.write(f"{recovery} is sound: {len(parts_of(recovery))} parts\n")


@app.command()
def create(
    to: Annotated[list[Path], typer.Option(help="Of each process, in their order: to no folder that is there.")],
    parts: Annotated[int, typer.Option(help="Parts, at least one for each process there will ever be.", min=1)] = 12,
) -> None:
    """Make the recovery folders of a new flow whose processes have one each, on machines or pods of their own."""
    _check_free(to)
    move((), to, parts=parts)
    sys.stdout.write(f"{parts} parts dealt to {len(to)} recovery folders\n")


@app.command(name="move")
def moved(
    from_: Annotated[list[Path], typer.Option("--from", help="Of each process of the flow, in their order.")],
    to: Annotated[list[Path], typer.Option(help="Of each process that it shall have, in their order.")],
) -> None:
    """Deal the parts of a flow to another number of processes; cut off amid it, the same command goes on."""
    move(from_, to)
    sys.stdout.write(f"the parts of {len(from_)} recovery folders are in {len(to)}\n")


@app.command()
def backup(
    recovery: Annotated[list[Path], typer.Argument(help="The recovery folder; of several processes, in their order.")],
    to: Annotated[Path, typer.Option(help="A new folder for the copy.")],
    store: _Store = None,
) -> None:
    """Copy it, and then its store, into a new folder, whole or not at all; nothing may write them meanwhile."""
    check_shares(recovery)
    if to.exists():
        raise WorldError(f"{to} is there already: name a new folder with --to")
    if store is not None and not store.is_dir():
        raise WorldError(f"no such store: {store}")
    with ExitStack() as stack:
        for folder in recovery:
            stack.enter_context(alone(folder))
        stack.enter_context(_held(store))
        _copied(to, recovery, store)
    sys.stdout.write(f"{to} holds {_listed(recovery)}{f' and {store}' if store else ''}\n")


@app.command()
def restore(
    backed_up: Annotated[Path, typer.Argument(help="A folder that `memewax recovery backup` made.")],
    recovery: Annotated[
        list[Path], typer.Option(help="Where the recovery folder goes: to no folder that is there; one a process.")
    ],
    store: Annotated[Path | None, typer.Option(help="Where the store goes: to no folder that is there.")] = None,
    aside: Annotated[bool, typer.Option("--aside", help="Rename what is there, to NAME.before-TIME.")] = False,
) -> None:
    """Copy a backup to where a flow goes on from it; what is there is never written over."""
    check_recovery(backed_up / _RECOVERY, thorough=True)
    has_store = (backed_up / _STORE).is_dir()
    if has_store != (store is not None):
        said = "holds a store: say with --store where it goes" if has_store else "holds no store: leave --store out"
        raise WorldError(f"{backed_up} {said}")
    targets = [*recovery, *([store] if store is not None else [])]
    if aside:
        _set_aside([*targets, *map(moving_of, recovery)])
    _check_free(targets)
    if store is not None:
        _whole_copy(backed_up / _STORE, store)
    whole = moving_of(recovery[0])  # no flow starts before all have their share
    _whole_copy(backed_up / _RECOVERY, whole)  # the recovery folder last: without it nothing is gone on from
    move((), recovery)
    sys.stdout.write(f"{_listed(recovery)}{f' and {store}' if store else ''} restored from {backed_up}\n")


def _check_free(targets: list[Path]) -> None:
    for target in targets:
        if target.exists():
            raise WorldError(f"{target} is there already: move it away first")


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
    """Keep out all that write tables of a store, and those that would begin to."""
    if store is None:
        yield
        return
    from search.corpus_store import corpus_locks, making_corpora  # late, since it brings Arrow

    places = [Folder.at(store)]
    tables = lock_files(places) | lock_files(places, ANSWERS)
    # Which corpora there are is looked at when no more are made.
    with all_locked(making_corpora(store)), all_locked(tables), all_locked(corpus_locks(store)):
        yield


def _copied(to: Path, recovery: list[Path], store: Path | None) -> None:
    """The store comes last: what was written after the snapshots comes again, and is written over."""
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
    """What of a folder of the store is left out of a backup: what can be computed again."""
    return [name for name in names if name == CACHE and not Path(folder).suffix]


def _whole_copy(source: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"{target.name}.", dir=target.parent) as name:
            shutil.copytree(source, Path(name, "copy"))
            Path(name, "copy").rename(target)
    except (OSError, shutil.Error) as error:
        raise WorldError(f"{target} cannot be written: {error}") from None

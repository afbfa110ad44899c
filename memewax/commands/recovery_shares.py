"""Recovery folders of several machines, each with a share of the partitions: gather and redistribute them.

The number of machines determines which one has which partition (`operators.recovery_check.parts_of_machine`), so that
each can check at its start that its own are complete. All folders get the files of clusters, since Bytewax decides
which machine needs them. Of several copies, the one opened most often is the one that was in use.
"""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final

from bytewax.recovery import init_db_dir

from connectors.run_identity import IDENTITY, identity_of
from core.endings import plural
from core.errors import WorldError
from core.row_log import times_opened
from memewax.commands.recovery import lock_recovery
from operators.model_check import FILE as MODELS
from operators.recovery_check import WHOLE, check_recovery, moving_folder, parts_of_machine
from operators.recovery_migration import is_old, migrate
from operators.recovery_places import parts_of

_FILES: Final = "files"
_CLUSTERS: Final = "clusters"
_NOTES: Final = (IDENTITY, MODELS)


def check_shares(folders: Sequence[Path]) -> None:
    """Read the recovery folders of a flow completely; raises `WorldError` if one is damaged or incomplete."""
    for number, folder in enumerate(folders):
        check_recovery(folder, (number, len(folders)), thorough=True)
    parts = [part.name for folder in folders for part in parts_of(folder)]
    if len(parts) > len(set(parts)):
        raise WorldError(f"{folders[0]} has all partitions by itself: name no other folder with it")
    identities = {(it / IDENTITY).read_text() for it in folders if (it / IDENTITY).is_file()}
    if len(identities) > 1:
        raise WorldError(f"{', '.join(map(str, folders))} belong to several flows: name those of one")


def gather(folders: Sequence[Path], to: Path) -> None:
    """Copy the recovery folders of a flow into one complete recovery folder, the new folder `to`.

    Raises:
        WorldError: If they do not all belong to one flow.
        OSError, shutil.Error, sqlite3.Error: If they cannot be read, or `to` cannot be written.
    """
    check_shares(folders)
    to.mkdir(mode=0o755)
    for folder in folders:
        for part in parts_of(folder):
            with closing(sqlite3.connect(part)) as old, closing(sqlite3.connect(to / part.name)) as new:
                old.backup(new)
        if (folder / _FILES).is_dir():
            shutil.copytree(folder / _FILES, to / _FILES, dirs_exist_ok=True)
        for name in _NOTES:
            if (folder / name).is_file():
                shutil.copy(folder / name, to / name)
    logs = {log.name for folder in folders for log in (folder / _CLUSTERS).glob("*")}
    for name in sorted(logs):
        copies = [log for folder in folders if (log := folder / _CLUSTERS / name).is_dir()]
        shutil.copytree(max(copies, key=times_opened), to / _CLUSTERS / name)


def distribute(whole: Path, to: Sequence[Path]) -> None:
    """Replace each of several recovery folders by its share of a complete one.

    Raises:
        OSError, shutil.Error: If one cannot be written.
    """
    identity_of(whole)  # all shares get the same identity
    parts = parts_of(whole)
    for number, folder in enumerate(to):
        folder.parent.mkdir(parents=True, exist_ok=True)
        new, old = folder.with_name(f"{folder.name}.new"), folder.with_name(f"{folder.name}.old")
        for it in (new, old):
            shutil.rmtree(it, ignore_errors=True)
        new.mkdir(mode=0o755)
        for part in sorted(parts_of_machine((number, len(to)), len(parts))):
            shutil.copy(parts[part], new / parts[part].name)
        for name in (_FILES, _CLUSTERS):
            if (whole / name).is_dir():
                shutil.copytree(whole / name, new / name)
        for name in _NOTES:
            if (whole / name).is_file():
                shutil.copy(whole / name, new / name)
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    os.sync()


def move(olds: Sequence[Path], news: Sequence[Path], *, parts: int | None = None) -> None:
    """Redistribute the partitions of a flow to other recovery folders, migrating older versions; rerun it if killed.

    A complete copy lies beside the first new folder until all have their share, so that an interruption loses nothing
    and no process can start meanwhile.

    Args:
        olds: The recovery folders of the flow, in the order of its processes; empty for a new flow.
        news: The new recovery folders, which may be the same ones.
        parts: Number of partitions of a new flow.

    Raises:
        WorldError: If folders are in use, belong to different flows, have too few partitions or cannot be written.
    """
    try:
        if _is_done(olds, news):
            return
        left = next((it for folder in (*olds, *news) if (it := moving_folder(folder)).is_dir()), None)
        count = parts or sum(len(parts_of(folder)) for folder in ([left] if left else olds))
        if count < len(news):
            raise WorldError(
                f"{plural(count, 'partition')} cannot be shared by {len(news)} processes: each needs at least one"
            )
        with ExitStack() as stack:
            if left is None:
                for folder in olds:
                    if folder.is_dir():
                        stack.enter_context(lock_recovery(folder))
                left = _whole(olds, moving_folder(news[0]), parts)
            else:
                check_recovery(left, WHOLE, thorough=True)
            distribute(left, news)
        for folder in set(olds) - set(news):
            shutil.rmtree(folder, ignore_errors=True)
        done = left.with_name(f"{left.name}.done")
        left.rename(done)
        shutil.rmtree(done, ignore_errors=True)
    except (OSError, shutil.Error, sqlite3.Error) as error:
        raise WorldError(f"the partitions cannot be moved: {error}") from None


def _is_done(olds: Sequence[Path], news: Sequence[Path]) -> bool:
    """Check whether the new folders have their shares already: the command was killed at its end, or given twice."""
    if any(moving_folder(folder).exists() for folder in (*olds, *news)) or not all(it.is_dir() for it in news):
        return False
    try:
        check_shares(news)
    except WorldError:
        return False
    return not any(is_old(folder) for folder in news)


def _whole(olds: Sequence[Path], to: Path, parts: int | None) -> Path:
    """Gather all partitions, or create them, in the folder `to`, which appears when it is complete."""
    to.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{to.name}.", dir=to.parent) as around:
        draft = Path(around, "whole")
        if olds:
            gather(olds, draft)
            migrate(draft)
        else:
            draft.mkdir(mode=0o755)
            init_db_dir(draft, parts)  # type: ignore[no-untyped-call]
        draft.rename(to)
    return to

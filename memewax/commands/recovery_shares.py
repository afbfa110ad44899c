"""Recovery folders of several machines, each with its share of the parts: brought together, and dealt anew.

Which machine has which part follows from their number (`operators.recovery_check.dealt`), so that each sees at its
start whether all of its own are there. The files of clusters go to all of them, since which machine needs them is the
engine's affair; of several copies the one that was opened most often is the one that was in use.
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
from core.errors import WorldError
from core.row_log import times_opened
from memewax.commands.recovery import alone
from operators.model_check import FILE as MODELS
from operators.recovery_check import WHOLE, check_recovery, dealt, moving_of
from operators.recovery_migration import is_old, migrate
from operators.recovery_places import parts_of

_FILES: Final = "files"
_CLUSTERS: Final = "clusters"
_NOTES: Final = (IDENTITY, MODELS)


def check_shares(folders: Sequence[Path]) -> None:
    """Read all of the recovery folders of a flow; raises `WorldError` where one is broken, or a part is missing."""
    for number, folder in enumerate(folders):
        check_recovery(folder, (number, len(folders)), thorough=True)
    parts = [part.name for folder in folders for part in parts_of(folder)]
    if len(parts) > len(set(parts)):
        raise WorldError(f"{folders[0]} holds all parts by itself: name no other folder with it")
    identities = {(it / IDENTITY).read_text() for it in folders if (it / IDENTITY).is_file()}
    if len(identities) > 1:
        raise WorldError(f"{', '.join(map(str, folders))} belong to several flows: name those of one")


def gather(folders: Sequence[Path], to: Path) -> None:
    """Copy the recovery folders of a flow into one that is whole, in a new folder `to`.

    Raises:
        WorldError: where they are not all of one flow.
        OSError, shutil.Error, sqlite3.Error: where they cannot be read, or `to` cannot be written.
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


def deal(whole: Path, to: Sequence[Path]) -> None:
    """Give each of several recovery folders its share of one that is whole; what is there is replaced.

    Raises:
        OSError, shutil.Error: where one cannot be written.
    """
    identity_of(whole)  # all have the same one
    parts = parts_of(whole)
    for number, folder in enumerate(to):
        folder.parent.mkdir(parents=True, exist_ok=True)
        new, old = folder.with_name(f"{folder.name}.new"), folder.with_name(f"{folder.name}.old")
        for it in (new, old):
            shutil.rmtree(it, ignore_errors=True)
        new.mkdir(mode=0o755)
        for part in sorted(dealt((number, len(to)), len(parts))):
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
    """Deal the parts of a flow to other recovery folders, those of earlier versions migrated; killed amid it, again.

    What there is lies whole beside the first new folder until all have their share, so that nothing is lost whenever
    it ends, and no process starts meanwhile.

    Args:
        olds: The recovery folders of the flow, in the order of its processes; none: it is new.
        news: Those that it shall have, which may be the same ones.
        parts: Of a new flow.

    Raises:
        WorldError: where they are in use, not all of one flow, too few or cannot be written.
    """
    try:
        if _is_done(olds, news):
            return
        left = next((it for folder in (*olds, *news) if (it := moving_of(folder)).is_dir()), None)
        count = parts or sum(len(parts_of(folder)) for folder in ([left] if left else olds))
        if count < len(news):
            raise WorldError(f"there are {count} parts, too few for {len(news)} processes with a folder each")
        with ExitStack() as stack:
            if left is None:
                for folder in olds:
                    if folder.is_dir():
                        stack.enter_context(alone(folder))
                left = _whole(olds, moving_of(news[0]), parts)
            else:
                check_recovery(left, WHOLE, thorough=True)
            deal(left, news)
        for folder in set(olds) - set(news):
            shutil.rmtree(folder, ignore_errors=True)
        done = left.with_name(f"{left.name}.done")
        left.rename(done)
        shutil.rmtree(done, ignore_errors=True)
    except (OSError, shutil.Error, sqlite3.Error) as error:
        raise WorldError(f"the parts cannot be moved: {error}") from None


def _is_done(olds: Sequence[Path], news: Sequence[Path]) -> bool:
    """Whether the new folders have their shares already: the command was cut off after its end, or given twice."""
    if any(moving_of(folder).exists() for folder in (*olds, *news)) or not all(it.is_dir() for it in news):
        return False
    try:
        check_shares(news)
    except WorldError:
        return False
    return not any(is_old(folder) for folder in news)


def _whole(olds: Sequence[Path], to: Path, parts: int | None) -> Path:
    """All parts in one folder, which is there when it is whole."""
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

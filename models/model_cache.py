"""What is made once from weights and kept: a folder that is there whole or not at all, and checked when it is used."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import platformdirs

from core.errors import WeightsError
from models.hashes import sha256_of_all
from models.model_settings import CacheSettings


def cache_of(settings: CacheSettings) -> Path:
    """The folder in which all such folders lie."""
    return settings.models_cache or Path(platformdirs.user_cache_dir("memewax"))


def kept(folder: Path, files: tuple[str, ...], write: Callable[[Path], None], *, what: str, megabytes: int) -> Path:
    """`folder`, filled by `write` if it is not there yet; several processes may do this at once.

    Args:
        folder: Where it is kept.
        files: Names of what `write` makes and is checked.
        write: Makes the files in an empty folder that it is given.
        what: For messages.
        megabytes: How much room it needs, for messages.

    Raises:
        WeightsError: if it cannot be written, or if what was written is no longer what it was.
    """
    try:
        if not folder.is_dir():
            _fill(folder, files, write)
        expected = _hash_file(folder, files).read_text()
        found = _hash(folder, files)
    except OSError as error:
        raise WeightsError(
            f"cannot write {what} into {folder}: {error.strerror or error}; "
            f"set MEMEWAX_MODELS_CACHE to a folder with {megabytes} MB of room"
        ) from error
    if found != expected:
        raise WeightsError(f"{folder} is damaged (SHA-256 {found[:12]}, expected {expected[:12]}); delete the folder")
    return folder


def _fill(folder: Path, files: tuple[str, ...], write: Callable[[Path], None]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=folder.parent))
    try:
        write(draft)
        _hash_file(draft, files).write_text(_hash(draft, files))
        draft.chmod(0o755)  # both were made for their owner alone
        for name in files:
            (draft / name).chmod(0o644)
        try:
            os.rename(draft, folder)  # noqa: PTH104 - not Path.replace's promise that we want, but rename's refusal
        except OSError:
            if not folder.is_dir():
                raise  # not another process that was first
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _hash(folder: Path, files: tuple[str, ...]) -> str:
    return sha256_of_all(folder, [folder / name for name in files])


def _hash_file(folder: Path, files: tuple[str, ...]) -> Path:
    return folder / f"{files[0]}.sha256"

"""A cache of folders derived from weights: each is created atomically, and its checksum is verified on use."""

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
    """Return the folder of the cache: MEMEWAX_MODELS_CACHE or the user's cache folder."""
    return settings.models_cache or Path(platformdirs.user_cache_dir("memewax"))


def cached_folder(
    folder: Path, files: tuple[str, ...], write: Callable[[Path], None], *, what: str, megabytes: int
) -> Path:
    """Return `folder`, after filling it by `write` if it does not exist; safe for concurrent processes.

    Args:
        folder: Of the cache.
        files: Names of the files that `write` makes; their checksum is verified.
        write: Writes the files into an empty folder, its argument.
        what: Name of the contents, for messages.
        megabytes: Space that it needs, for messages.

    Raises:
        WeightsError: If the folder cannot be written, or its files differ from those that were written.
    """
    try:
        if not folder.is_dir():
            _fill(folder, files, write)
        expected = _hash_file(folder, files).read_text()
        found = _hash(folder, files)
    except OSError as error:
        raise WeightsError(
            f"cannot write {what} into {folder}: {error.strerror or error}; "
            f"set MEMEWAX_MODELS_CACHE to a folder with {megabytes} MB of free space"
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
        draft.chmod(0o755)  # temporary folders and files are readable by their owner alone
        for name in files:
            (draft / name).chmod(0o644)
        try:
            os.rename(draft, folder)  # noqa: PTH104 - unlike Path.replace, it must fail if the target exists
        except OSError:
            if not folder.is_dir():
                raise  # otherwise another process was first
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _hash(folder: Path, files: tuple[str, ...]) -> str:
    return sha256_of_all(folder, [folder / name for name in files])


def _hash_file(folder: Path, files: tuple[str, ...]) -> Path:
    return folder / f"{files[0]}.sha256"

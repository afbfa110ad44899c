"""SHA-256 of files and of sets of files."""

import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path


def sha256_of(file: Path) -> str:
    """SHA-256 of a file's bytes, in hex; a file that did not change since is not read again by this process."""
    told = file.stat()
    return _hashed(file, told.st_ino, told.st_size, told.st_mtime_ns, told.st_ctime_ns)


@cache
def _hashed(file: Path, *_: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_of_all(folder: Path, files: Iterable[Path]) -> str:
    """SHA-256 of one file; of several, that of the lines `hash  name` in the order of the names (names in `folder`)."""
    hashes = {file.relative_to(folder).as_posix(): sha256_of(file) for file in files}
    if len(hashes) == 1:
        return next(iter(hashes.values()))
    return hashlib.sha256("".join(f"{hashes[name]}  {name}\n" for name in sorted(hashes)).encode()).hexdigest()

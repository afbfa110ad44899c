"""SHA-256 checksums of files and of sets of files."""

import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a file in hex; cached in this process until the file changes."""
    stat = file.stat()
    return _hashed(file, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


@cache
def _hashed(file: Path, *_: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_of_all(folder: Path, files: Iterable[Path]) -> str:
    """Return the SHA-256 in hex of a single file, or of the lines `hash  name` of several, sorted by name.

    Names are relative to `folder`; the lines are those of `sha256sum`.
    """
    hashes = {file.relative_to(folder).as_posix(): sha256_of(file) for file in files}
    if len(hashes) == 1:
        return next(iter(hashes.values()))
    return hashlib.sha256("".join(f"{hashes[name]}  {name}\n" for name in sorted(hashes)).encode()).hexdigest()

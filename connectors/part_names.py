"""Names of a source's partitions in a recovery folder."""

from pathlib import Path

from core.errors import WorldError


def is_moved(old: Path, new: Path) -> bool:
    """Check whether a file may have moved from `old` to `new`: same name, and the old path no longer exists."""
    return old != new and old.name == new.name and not old.exists()


def part_name(path: Path) -> str:
    """Return the path as a string that Bytewax can store; raises `WorldError` if it is not valid UTF-8."""
    name = str(path)
    try:
        name.encode()
    except UnicodeEncodeError:
        raise WorldError(f"{name!r} is not valid UTF-8 and cannot be stored in a recovery folder: rename it") from None
    return name

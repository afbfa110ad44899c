"""Names of parts, as a recovery folder keeps them."""

from pathlib import Path

from core.errors import WorldError


def is_moved(old: Path, new: Path) -> bool:
    """Whether what had one path may be what has the other now: it has the same name, and nothing is there any more."""
    return old != new and old.name == new.name and not old.exists()


def part_name(path: Path) -> str:
    """The path as Bytewax can keep it; raises `WorldError` where its bytes are not UTF-8."""
    name = str(path)
    try:
        name.encode()
    except UnicodeEncodeError:
        raise WorldError(f"{name!r} is not UTF-8 and cannot be kept in a recovery folder: rename it") from None
    return name

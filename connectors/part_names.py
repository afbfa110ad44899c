"""Names of parts, as a recovery folder keeps them."""

from pathlib import Path

from core.errors import WorldError


def part_name(path: Path) -> str:
    """The path as Bytewax can keep it; raises `WorldError` where its bytes are not UTF-8."""
    name = str(path)
    try:
        name.encode()
    except UnicodeEncodeError:
        raise WorldError(f"{name!r} is not UTF-8 and cannot be kept in a recovery folder: rename it") from None
    return name

"""What tells one run from another: its recovery folder."""

from pathlib import Path
from typing import Final
from uuid import uuid4

from core.atomic_file import atomic_write
from core.errors import WorldError
from core.locks import locked

IDENTITY: Final = "identity"
"""File in a recovery folder."""


def identity_of(recovery: Path | None) -> str:
    """What tells a recovery folder from one that is made anew in its place; without a folder each run is its own."""
    if recovery is None or not recovery.is_dir():
        return uuid4().hex
    file = recovery / IDENTITY
    try:
        with locked(recovery / f"{IDENTITY}.lock"):
            if not file.exists():
                with atomic_write(file) as out:
                    out.write(uuid4().hex.encode())
            return file.read_text()
    except OSError as error:
        raise WorldError(f"{recovery}: {error.strerror}") from None

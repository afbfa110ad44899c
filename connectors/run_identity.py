"""The identity of a run, which lasts as long as its recovery folder."""

from pathlib import Path
from typing import Final
from uuid import uuid4

from core.atomic_file import atomic_write
from core.errors import WorldError
from core.locks import locked

IDENTITY: Final = "identity"
"""File of the identity in a recovery folder."""


def identity_of(recovery: Path | None) -> str:
    """Return the identity of a recovery folder, created on first use; without a folder, a new one for each run."""
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

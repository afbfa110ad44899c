"""The files that a recovery folder created: only these are ever truncated.

Each has a note in the recovery folder, with its path and its length at the end of the last run. If the file is longer,
another program has appended to it.
"""

from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import orjson

from core.errors import WorldError

_FOLDER: Final = "files"


class OwnedFiles:
    """The files that a recovery folder created.

    Args:
        recovery: The folder; None for a run without one, which owns no files.
    """

    def __init__(self, recovery: Path | None) -> None:
        self._folder = None if recovery is None else recovery / _FOLDER

    def has(self, path: Path) -> bool:
        """Check whether this recovery folder created a file."""
        return self._read(path) is not None

    def check(self, path: Path, size: int, offset: int) -> None:
        """Raise `WorldError` if another program wrote to a file of `size` bytes beyond the first `offset`."""
        if size == offset:
            return
        known = self._read(path)
        if known is None and not offset:
            raise WorldError(
                f"{path} exists already and this recovery folder did not write it: move it elsewhere, "
                "or name the recovery folder that it was written with"
            )
        ended = None if known is None else known["ended"]
        if ended is not None and size > ended:
            raise WorldError(
                f"{path} has {size - ended} bytes that this recovery folder did not write: "
                "move them to another file, since they would be truncated"
            )

    def begin(self, path: Path) -> None:
        """Note that a run is about to write a file; raises `OSError`."""
        self._write(path, None)

    def end(self, path: Path, size: int) -> None:
        """Note the length of a file at the end of a run; raises `OSError`."""
        self._write(path, size)

    def _note(self, path: Path) -> Path | None:
        name = blake2b(str(path.resolve()).encode(errors="surrogateescape"), digest_size=8).hexdigest()
        return None if self._folder is None else self._folder / f"{name}.json"

    def _read(self, path: Path) -> dict[str, Any] | None:
        note = self._note(path)
        try:
            found: dict[str, Any] | None = None if note is None else orjson.loads(note.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, orjson.JSONDecodeError) as error:
            raise WorldError(f"{note}: {error}") from None
        return found

    def _write(self, path: Path, ended: int | None) -> None:
        note = self._note(path)
        if note is None:
            return
        note.parent.mkdir(exist_ok=True)
        draft = note.with_suffix(".draft")
        draft.write_bytes(orjson.dumps({"version": 1, "path": str(path), "ended": ended}))
        draft.replace(note)

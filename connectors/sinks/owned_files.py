"""Which files a recovery folder began to write: they alone are ever cut.

Each has a small file of its own in the recovery folder. It names the file, and its length when a run that wrote it
ended: what is longer was written by somebody else.
"""

from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import orjson

from core.errors import WorldError

_FOLDER: Final = "files"


class OwnedFiles:
    """The files that a recovery folder began.

    Args:
        recovery: The folder; None: there is none, and so no such file.
    """

    def __init__(self, recovery: Path | None) -> None:
        self._folder = None if recovery is None else recovery / _FOLDER

    def has(self, path: Path) -> bool:
        """Whether a file was begun, here or, under the same name, where the folder lay before."""
        return self._read(path) is not None

    def check(self, path: Path, size: int, offset: int) -> None:
        """Raise `WorldError` where a file of `size` bytes holds what others wrote beyond the first `offset`."""
        if size == offset:
            return
        told = self._read(path)
        if told is None and not offset:
            raise WorldError(
                f"{path} is there already and this recovery folder did not write it: move it away, "
                "or name the recovery folder that it was written with"
            )
        ended = None if told is None else told["ended"]
        if ended is not None and size > ended:
            raise WorldError(
                f"{path} holds {size - ended} bytes that this recovery folder did not write: "
                "move them to another file, they would be cut"
            )

    def begin(self, path: Path) -> None:
        """Take note that a run writes a file, before it does."""
        self._write(path, None)

    def end(self, path: Path, size: int) -> None:
        """Take note that a run has ended, and how long the file is; raises `OSError`."""
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

"""Cleanup after a failed start: the next run would otherwise resume from what it left."""

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

from connectors.chosen_endpoints import Destinations
from memewax.commands.recovery import is_prepared

_OF_A_STORE: Final = frozenset(
    {
        "cache",
        "posts.lock",
        "posts.lance",
        "hidden.lance",
        "thumbnails.lance",
        "clusters.lance",
        "cluster-ids.json",
        "cluster-ids.json.lock",
        "cluster-ids.deleted",
        "revisions.npy",
        "status",
    }
)
"""What a run creates in a store before it reads anything; if there is more, another program has written there."""


class Leftovers:
    """The files and folders that a flow is about to create, and its recovery folder.

    Construct it, and call `remove`, while holding the flow's locks.
    """

    def __init__(self, destinations: Destinations, recovery: Path, state_dir: Path | None = None) -> None:
        paths = {it.path for it in destinations.all() if it.path is not None} | {*destinations.states(state_dir)}
        self._new = [it for it in (*sorted(paths), recovery) if not it.exists()]
        self._recovery = recovery
        self._was_prepared = is_prepared(recovery)
        self._parents = sorted({above for it in self._new for above in it.parents if not above.exists()}, reverse=True)

    def remove(self) -> None:
        """Remove what was created since and holds no data; ignore what cannot be removed."""
        if not self._was_prepared and self._recovery not in self._new:
            for part in self._recovery.glob("part-*.sqlite3"):
                with suppress(OSError):
                    part.unlink()
        for path in self._new:
            if path == self._recovery or (path.is_dir() and {it.name for it in path.iterdir()} <= _OF_A_STORE):
                shutil.rmtree(path, ignore_errors=True)
            elif path.is_file() and not path.stat().st_size:
                path.unlink(missing_ok=True)
        for parent in self._parents:
            with suppress(OSError):  # another program has written there
                parent.rmdir()

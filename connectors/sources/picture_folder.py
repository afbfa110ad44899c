"""Posts from a folder of pictures: each picture becomes a post."""

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import orjson

from connectors.part_names import part_name
from connectors.sources.source import Position, Reader, Source, Unit
from core.errors import SettingsError, WorldError
from core.partitions import part_of
from core.records import Message

SUFFIXES: Final = frozenset(
    {".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".avif", ".jp2", ".ppm"}
)
_LIST_SECONDS: Final = 1.0
"""A followed folder is listed at most so often."""


def holds_pictures(folder: Path) -> bool:
    """Whether there is a picture somewhere below `folder`."""
    return any(path.suffix.lower() in SUFFIXES for path in folder.rglob("*"))


class Pictures(Source):
    """Every picture below a folder, oldest change first; its `global_id` is `<path in the folder>-folder`."""

    def __init__(self, folder: Path, *, follow: bool, parts: int, batch: int) -> None:
        self._folder = folder.resolve()
        self._follow = follow
        self._parts = parts
        self._batch = batch

    def parts(self) -> list[str]:
        """`<folder>#<part>`; raises `WorldError` where there is no such folder."""
        if not self._folder.is_dir():
            raise WorldError(f"no such folder: {self._folder}")
        return [f"{part_name(self._folder)}#{part}" for part in range(self._parts)]

    def open(self, part: str, resume: Position | None) -> Reader:
        """Read the pictures whose name falls to `part`."""
        name, _, number = part.rpartition("#")
        return PictureReader(
            Path(name), part=int(number), parts=self._parts, follow=self._follow, resume=resume, batch=self._batch
        )


class PictureReader(Reader):
    """Some of the pictures of a folder, in the order of their last change and name."""

    def __init__(
        self, folder: Path, *, part: int, parts: int, batch: int, follow: bool, resume: Position | None
    ) -> None:
        self._folder = folder
        self._part = part
        self._parts = parts
        self._batch = batch
        self._follow = follow
        self._last = (resume["changed_ns"], resume["name"]) if resume else (0, "")
        self._turn: int = resume["turn"] if resume else part
        if resume is not None and resume["parts"] != parts:
            raise SettingsError(
                f"the recovery folder was made with file_parts={resume['parts']}, now it is {parts}: "
                "set it back, or begin anew with an empty recovery folder"
            )
        self._waiting = self._list()
        self._listed = time.monotonic()

    @property
    def turn(self) -> int:
        """Counts the units of all parts in rotation."""
        return self._turn

    @property
    def ended(self) -> bool:
        """Whether all pictures were handed out and nobody waits for more."""
        return not self._follow and not self._waiting

    def lag(self) -> int:
        """Pictures left."""
        return len(self._waiting)

    def read(self) -> Unit | None:
        """The next few pictures, as messages that name them."""
        if self._follow and not self._waiting and time.monotonic() - self._listed >= _LIST_SECONDS:
            self._waiting = self._list()
            self._listed = time.monotonic()
        now, self._waiting = self._waiting[: self._batch], self._waiting[self._batch :]
        if not now:
            return None
        self._last = now[-1]
        turn, self._turn = self._turn, self._turn + self._parts
        changed_ns, last = self._last
        resume = {"version": 1, "parts": self._parts, "changed_ns": changed_ns, "name": last, "turn": self._turn}
        return Unit([self._message(name) for _, name in now], resume, turn)

    def close(self) -> None:
        """Nothing is held."""

    def _list(self) -> list[tuple[int, str]]:
        found = []
        for path in self._folder.rglob("*"):
            name = path.relative_to(self._folder).as_posix()
            mine = part_of(os.fsencode(name), self._parts) == self._part
            if mine and path.suffix.lower() in SUFFIXES and path.is_file():
                with suppress(FileNotFoundError):  # it went away meanwhile
                    found.append((path.stat().st_ctime_ns, name))
        return sorted(picture for picture in found if picture > self._last)

    def _message(self, name: str) -> Message:
        path = os.fsencode(self._folder / name)
        origin = f"file:{path.decode(errors='backslashreplace')}"
        post = {
            "global_id": f"{name}-folder",
            "desc": Path(name).stem.replace("_", " ").replace("-", " "),
            "url": f"./{name}" if ":" in name else name,  # what stands before a colon would be a scheme
            "source": "folder",
        }
        try:
            return Message(orjson.dumps(post), origin)
        except TypeError:  # a name that is not UTF-8 cannot be an id; its bytes become a dead letter
            return Message(os.fsencode(name), origin)

"""Posts from a folder of images: each image becomes a post.

Every image that was read is remembered; a time of the last read would not do, since moving old images into the folder
does not change their times. An image is identified by name, size and modification time, and, since copying changes the
time, also by its content.
"""

import os
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from stat import S_ISREG
from typing import Final, NamedTuple

import orjson

from connectors.fetching.kinds import kind_of
from connectors.part_names import part_name
from connectors.sources.sidecars import sidecar_of
from connectors.sources.source import Place, PlacedSource, Position, Reader, Unit
from core.errors import SettingsError, WorldError
from core.partitions import part_of
from core.records import Message

SUFFIXES: Final = frozenset(
    {".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".avif", ".jp2", ".ppm"}
    | {".jfif", ".jpe", ".heic", ".heif", ".jxl"}
)
"""Suffixes of images, also of unsupported ones, which are reported. Other files are recognised by their first bytes."""
_LIST_SECONDS: Final = 1.0
"""Shortest interval between listings of a followed folder."""
_REST_SECONDS: Final = 2.0
"""An image in a followed folder is read once unchanged for this long; before, it may be incomplete."""
_DIGEST: Final = 8
_IMAGE: Final = 2 * _DIGEST
"""Bytes that a position holds for each image."""
_LOOSE: Final = 1024 * _IMAGE
"""Maximum number of bytes to copy for each position."""
_ENDS: Final = 4096
"""Bytes at each end of a file that identify its content."""
_LOOKED_AT: Final = 64
"""Number of images to compare to recognise a moved folder."""


def holds_images(folder: Path) -> bool:
    """Check whether there is an image anywhere below `folder`."""
    return any(path.suffix.lower() in SUFFIXES or _is_image(path) for path in folder.rglob("*"))


def _is_image(path: Path) -> bool:
    """Check whether a file is an image by its content; hidden files are not."""
    if path.name.startswith("."):
        return False
    try:
        status = path.stat()
        return S_ISREG(status.st_mode) and _begins_as_image(path, status.st_size, status.st_mtime_ns)
    except OSError:
        return False


@lru_cache(maxsize=100_000)
def _begins_as_image(path: Path, _size: int, _changed_ns: int) -> bool:
    """Check the first bytes of a file; cached until the file changes."""
    with path.open("rb") as file:
        return kind_of(file.read(32)).is_read


class Images(PlacedSource):
    """All images below a folder, oldest change first.

    The `global_id` of an image is `<path in the folder>-<tag>-folder`. The tag identifies the folder, so that images in
    two folders never share an id. Folders first read by an older version have no tag.
    """

    def __init__(self, folder: Path, *, follow: bool, parts: int, batch: int) -> None:
        self._folder = folder.resolve()
        self._follow = follow
        self._parts = parts
        self._batch = batch

    def parts(self) -> list[str]:
        """Return the partitions as `<folder>#<part>`; raises `WorldError` if the folder does not exist."""
        return [f"{place.name}#{number}" for place in self.places() for number in place.part_numbers(())]

    def places(self) -> list["ImagesPlace"]:
        """Return the folder; raises `WorldError` if it does not exist."""
        if not self._folder.is_dir():
            raise WorldError(f"no such folder: {self._folder}")
        return [ImagesPlace(self._folder, self._parts, self._batch, follow=self._follow)]

    def open(self, part: str, resume: Position | None) -> Reader:
        """Read the images whose names hash to `part`."""
        place = ImagesPlace(Path(part.rpartition("#")[0]), self._parts, self._batch, follow=self._follow)
        return place.open(int(part.rpartition("#")[2]), resume, [] if resume is None else [resume])


class ImagesPlace(Place):
    """A folder, identified by its path, or after a move by its contents."""

    def __init__(self, folder: Path, parts: int, batch: int, *, follow: bool) -> None:
        self.name = part_name(folder)
        self._folder = folder
        self._parts = parts
        self._batch = batch
        self._follow = follow

    def owns_positions(self, positions: Sequence[Position]) -> bool | None:  # noqa: ARG002
        """Return None (unknown), since images come and go."""
        return None

    def was_called(self, name: str, positions: Sequence[Position]) -> bool:
        """Return whether the other folder no longer exists, and most images here were read there."""
        images = [it for it in positions if "turn" in it]
        if not images or len(images) != len(positions) or Path(name).exists():
            return False
        if any("seen" not in it for it in images):  # an older version remembered only the last image
            return Path(name).name == self._folder.name
        seen = {key for it in images for key in _keys(it["seen"] + it["since"])}
        some = [found for _, found in zip(range(_LOOKED_AT), _listed(self._folder), strict=False)]
        known = sum(it.by_time in seen or _by_content(self._folder, it) in seen for it in some)
        return known * 2 > len(some)

    def part_numbers(self, positions: Sequence[Position]) -> Iterable[int]:
        """Return as many partitions as at the first start."""
        return range(self._dealt(positions))

    def open(self, number: int, resume: Position | None, positions: Sequence[Position]) -> Reader:
        """Read the images whose names hash to a partition; a moved folder keeps its images' ids."""
        own_tag = blake2b(os.fsencode(self._folder), digest_size=3).hexdigest()
        return ImageReader(
            self._folder,
            part=number,
            parts=self._dealt(positions),
            batch=self._batch,
            follow=self._follow,
            resume=resume,
            tag=next((it.get("tag", "") for it in positions), own_tag),
        )

    def _dealt(self, positions: Sequence[Position]) -> int:
        return next((int(it["parts"]) for it in positions), self._parts)


class _Found(NamedTuple):
    """An image in a listing."""

    changed_ns: int
    name: str
    size: int
    written_ns: int

    @property
    def by_time(self) -> bytes:
        """Return the key of the image by name, size and time, without reading it."""
        return _key("time", self.name, self.size, self.written_ns)


class ImageReader(Reader):
    """Reads one partition of a folder's images, ordered by last change and name."""

    def __init__(
        self,
        folder: Path,
        *,
        part: int,
        parts: int,
        batch: int,
        follow: bool,
        resume: Position | None,
        tag: str,
    ) -> None:
        self._folder = folder
        self._part = part
        self._parts = parts
        self._batch = batch
        self._follow = follow
        self._tag = tag
        self._turn: int = resume["turn"] if resume else part
        if resume is not None and resume["parts"] != parts:
            raise SettingsError(
                f"the recovery folder was made with file_parts={resume['parts']}, now it is {parts}: "
                "set it back, or start again with an empty recovery folder"
            )
        self._seen: bytes = resume.get("seen", b"") if resume else b""
        self._since: bytes = resume.get("since", b"") if resume else b""
        self._keys = _keys(self._seen + self._since)
        if resume is not None and "seen" not in resume:  # an older version remembered only the last image
            last = (resume["changed_ns"], resume["name"])
            self._remember([it for it in self._mine() if (it.changed_ns, it.name) <= last])
        self._waiting = self._list()
        self._listed = time.monotonic()

    @property
    def turn(self) -> int:
        """Return the turn of the next unit; units of all partitions rotate."""
        return self._turn

    @property
    def ended(self) -> bool:
        """Return whether all images were read and the folder is not followed."""
        return not self._follow and not self._waiting

    def lag(self) -> int:
        """Return the number of images left."""
        return len(self._waiting)

    def read(self) -> Unit | None:
        """Return the next images, as messages with their paths."""
        if self._follow and not self._waiting and time.monotonic() - self._listed >= _LIST_SECONDS:
            self._waiting = self._list()
            self._listed = time.monotonic()
        now, self._waiting = self._waiting[: self._batch], self._waiting[self._batch :]
        if not now:
            return None
        self._remember(now)
        turn, self._turn = self._turn, self._turn + self._parts
        resume = {
            "version": 2,
            "parts": self._parts,
            "tag": self._tag,
            "seen": self._seen,
            "since": self._since,
            "turn": self._turn,
        }
        return Unit([self._message(it) for it in now], resume, turn)

    def close(self) -> None:
        """Do nothing; no resources are held."""

    def _remember(self, images: Sequence[_Found]) -> None:
        for it in images:
            keys = it.by_time + _by_content(self._folder, it)
            self._since += keys
            self._keys |= _keys(keys)
        if len(self._since) > _LOOSE:
            self._seen, self._since = self._seen + self._since, b""

    def _mine(self) -> list[_Found]:
        return [it for it in _listed(self._folder) if part_of(os.fsencode(it.name), self._parts) == self._part]

    def _list(self) -> list[_Found]:
        """List the images that exist and were not read in their current version."""
        new = []
        before_ns = time.time_ns() - int(_REST_SECONDS * 1e9)
        for it in self._mine():
            if it.by_time in self._keys:
                continue
            if self._follow and before_ns < it.written_ns <= time.time_ns():
                continue
            if _by_content(self._folder, it) in self._keys:  # copied, or touched
                self._keys.add(it.by_time)
                continue
            new.append(it)
        return sorted(new)

    def _message(self, found: _Found) -> Message:
        name = found.name
        path = os.fsencode(self._folder / name)
        origin = f"file:{path.decode(errors='backslashreplace')}"
        post = {
            "global_id": f"{name}-{self._tag}-folder" if self._tag else f"{name}-folder",
            "desc": Path(name).stem.replace("_", " ").replace("-", " "),
            "url": f"./{name}" if ":" in name else name,  # text before a colon would be a scheme
            "source": "folder",
            **sidecar_of(self._folder / name),
            "edited": datetime.fromtimestamp(found.changed_ns / 1e9, UTC).isoformat(),  # a replaced image is read again
        }
        try:
            return Message(orjson.dumps(post), origin)
        except TypeError:  # a name that is not UTF-8 cannot be an id; its bytes become a dead letter
            return Message(os.fsencode(name), origin)


def _listed(folder: Path) -> Iterable[_Found]:
    for path in folder.rglob("*"):
        if (path.suffix.lower() in SUFFIXES and path.is_file()) or _is_image(path):
            with suppress(FileNotFoundError):  # deleted meanwhile
                status = path.stat()
                name = path.relative_to(folder).as_posix()
                yield _Found(status.st_ctime_ns, name, status.st_size, status.st_mtime_ns)


def _by_content(folder: Path, image: _Found) -> bytes:
    """Return the key of an image by content, which survives copying; if it cannot be read, the key by time."""
    try:
        with (folder / image.name).open("rb") as file:
            first = file.read(_ENDS)
            file.seek(max(0, image.size - _ENDS))
            return _key("content", image.name, image.size, first + file.read(_ENDS))
    except OSError:  # fetching reports the error
        return image.by_time


def _key(*facts: str | int | bytes) -> bytes:
    made = blake2b(digest_size=_DIGEST)
    for fact in facts:
        data = fact if isinstance(fact, bytes) else os.fsencode(str(fact))
        made.update(len(data).to_bytes(8, "big") + data)
    return made.digest()


def _keys(data: bytes) -> set[bytes]:
    return {data[start : start + _DIGEST] for start in range(0, len(data), _DIGEST)}

"""Labelled data from JSONL files: posts with a `truth` object, or lines that hold text and labels together."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import orjson

from connectors.fetching.decode import decode
from connectors.sources.parse import parse_post
from core.errors import BadRecordError, WorldError
from core.records import Failure, Message, Pixels, Post
from dataflows.all_settings import Settings

POSTS: Final = "posts.jsonl"
"""File of posts in a folder; if there is none, all .jsonl files of the folder are read."""
_DEMO_TRUTH: Final = "truth.json"
"""File with the labels of the demo's posts."""
_MAY_BE_EMPTY: Final = ("text", "template")
"""Fields for which an empty label is valid: the image has no text, or is of no template."""
_FILE_URL: Final = re.compile("file://[^/]*(?=/)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class LabelledPost:
    """A post with its label."""

    post: Post
    truth: Any
    """The label."""
    folder: Path
    """Folder that the url is relative to."""

    @property
    def image(self) -> Path:
        """Return the path of its image; the url is a path or `file:///…`. The data are trusted: any path is allowed."""
        path, is_url = _FILE_URL.subn("", self.post.url, count=1)
        return Path(unquote(path)) if is_url else self.folder / path


def lines_of(path: Path, *fields: str, limit: int | None = None) -> list[dict[str, Any]]:
    """Read the objects of a JSONL file that have all `fields`.

    Blank lines are skipped; a field that is null counts as missing.

    Args:
        path: A file, or a folder whose .jsonl files are read in the order of their names.
        *fields: Fields that an object must have.
        limit: Most objects to return.

    Raises:
        WorldError: There is no such file, a line is not a JSON object, or no line has the fields.
    """
    lines = (line for file in _files(path) for line in _objects(file))
    found = [line for line in lines if all(line.get(name) is not None for name in fields)]
    if not found:
        raise WorldError(f"{path} has no line with {' and '.join(fields)}")
    return found[:limit]


def posts_of(path: Path, field: str, limit: int | None = None) -> list[LabelledPost]:
    """Read the posts whose truth has a field, without duplicates.

    Lines that are not posts are skipped, as in the flow.

    Args:
        path: A file, or its folder.
        field: Field of `truth` that becomes the label.
        limit: Most posts to return.

    Raises:
        WorldError: There is no such post.
    """
    found: dict[str, LabelledPost] = {}
    for file in [path / POSTS] if (path / POSTS).is_file() else _files(path):
        by_id = _demo_truth(file.parent)
        for number, line in enumerate(_bytes(file).splitlines()):
            try:
                post = parse_post(Message(line, f"file:{file}#{number}"))
            except BadRecordError:
                continue
            truth = post.extra.get("truth", by_id.get(post.global_id))
            value = truth.get(field) if isinstance(truth, dict) else None
            if value is not None and (value != "" or field in _MAY_BE_EMPTY):
                found.setdefault(post.global_id, LabelledPost(post, value, file.parent))
    if not found:
        raise WorldError(f"{path} has no post whose truth has the field {field}")
    return list(found.values())[:limit]


def number(line: dict[str, Any], field: str) -> float:
    """Return a field of a line as a number; raise `WorldError` if it is not a number."""
    value = line[field]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise WorldError(f"{field} must be a number, found {value!r} in {str(line)[:80]}")
    return float(value)


def image_of(known: LabelledPost, settings: Settings) -> Pixels | Failure:
    """Read and decode the post's image as the flow does; return a `Failure` if that fails."""
    if "://" in known.post.url and not _FILE_URL.match(known.post.url):
        return Failure("fetch", "WorldError", f"{known.post.url} is not a file, and an evaluation fetches no images")
    try:
        data = known.image.read_bytes()
        return decode(data, max_pixels=settings.fetch_max_pixels, max_side=settings.fetch_max_side)
    except Exception as error:  # a broken image may raise anything
        return Failure.of("fetch", error)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(path.glob("*.jsonl"))
    if not files:
        raise WorldError(f"{path} has no .jsonl file")
    return files


def _objects(file: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(_bytes(file).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise WorldError(f"{file}, line {number}: not JSON: {error}") from None
        if not isinstance(value, dict):
            raise WorldError(f"{file}, line {number}: not a JSON object")
        yield value


def _demo_truth(folder: Path) -> dict[str, Any]:
    file = folder / _DEMO_TRUTH
    try:
        return dict(orjson.loads(file.read_bytes())["posts"])
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        return {}


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise WorldError(f"{file}: {error.strerror}") from None

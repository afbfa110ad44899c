"""Data with its truth, from JSONL files: posts with a `truth` object, or lines that hold text and truth together."""

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
"""The posts of a folder; where it has none, all its .jsonl files are read."""
_DEMO_TRUTH: Final = "truth.json"
"""Where the demo keeps the truth of its posts."""
_MAY_BE_EMPTY: Final = ("text", "template")
"""An image without text has a truth: nothing is to be read in it; and so has one that is of no template."""
_FILE_URL: Final = re.compile("file://[^/]*(?=/)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class LabelledPost:
    """A post and what is true of it."""

    post: Post
    truth: Any
    folder: Path
    """What its url is relative to."""

    @property
    def image(self) -> Path:
        """Where its image lies: its url is a path or `file:///…`; who names the data trusts what it names."""
        path, is_url = _FILE_URL.subn("", self.post.url, count=1)
        return Path(unquote(path)) if is_url else self.folder / path


def lines_of(path: Path, *fields: str, limit: int | None = None) -> list[dict[str, Any]]:
    """The first `limit` objects with all `fields` in a JSONL file, or in the files of a folder in the order of names.

    A field that is null is none, and blank lines are passed over. Raises `WorldError` where there is no such file, a
    line is no JSON object, or no line has the fields.
    """
    lines = (line for file in _files(path) for line in _objects(file))
    found = [line for line in lines if all(line.get(name) is not None for name in fields)]
    if not found:
        raise WorldError(f"{path} has no line with {' and '.join(fields)}")
    return found[:limit]


def posts_of(path: Path, field: str, limit: int | None = None) -> list[LabelledPost]:
    """The first `limit` posts whose truth has `field`, each once; `path` is a file or its folder.

    Lines that are no posts are passed over, as the flow does. Raises `WorldError` where nothing is left.
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
        raise WorldError(f"{path} has no post whose truth says its {field}")
    return list(found.values())[:limit]


def number(line: dict[str, Any], field: str) -> float:
    """The number in a field of a line; raises `WorldError` where it is none."""
    value = line[field]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise WorldError(f"{field} must be a number, found {value!r}, beside {str(line)[:80]}")
    return float(value)


def image_of(known: LabelledPost, settings: Settings) -> Pixels | Failure:
    """The post's image, decoded as the flow does, or why there is none."""
    if "://" in known.post.url and not _FILE_URL.match(known.post.url):
        return Failure("fetch", "WorldError", f"{known.post.url} is no file, and images to measure by are not fetched")
    try:
        data = known.image.read_bytes()
        return decode(data, max_pixels=settings.fetch_max_pixels, max_side=settings.fetch_max_side)
    except Exception as error:  # a broken image raises anything
        return Failure.of("fetch", error)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(path.glob("*.jsonl"))
    if not files:
        raise WorldError(f"{path} holds no .jsonl file")
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

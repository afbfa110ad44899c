"""Data with its truth, from JSONL files: posts with a `truth` object, or lines that hold text and truth together."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from memewax.errors import BadRecordError, WorldError
from memewax.records import Failed, Message, Pixels, Post
from memewax.settings import Settings
from operators.fetching.decode import decode
from operators.parse import parse_post

POSTS: Final = "posts.jsonl"
_DEMO_TRUTH: Final = "truth.json"
"""Where the demo keeps the truth of its posts."""


@dataclass(frozen=True, slots=True)
class Known:
    """A post and what is true of it."""

    post: Post
    truth: Any
    folder: Path
    """What its url is relative to."""


def lines_of(path: Path, *fields: str, limit: int | None = None) -> list[dict[str, Any]]:
    """The first `limit` objects with all `fields` in a JSONL file, or in the files of a folder in the order of names.

    Raises `WorldError` where there is no such file, a line is no JSON object, or no line has the fields.
    """
    found = [line for file in _files(path) for line in _objects(file) if all(name in line for name in fields)]
    if not found:
        raise WorldError(f"{path} has no line with {' and '.join(fields)}")
    return found[:limit]


def posts_of(path: Path, field: str, limit: int | None = None) -> list[Known]:
    """The first `limit` posts whose truth has `field`, each once; `path` is the file or its folder.

    Lines that are no posts are passed over, as the flow does. Raises `WorldError` where nothing is left.
    """
    file = path / POSTS if path.is_dir() else path
    by_id = _demo_truth(file.parent)
    found: dict[str, Known] = {}
    for number, line in enumerate(_bytes(file).splitlines()):
        try:
            post = parse_post(Message(line, f"file:{file}#{number}"))
        except BadRecordError:
            continue
        truth = post.extra.get("truth", by_id.get(post.global_id))
        if isinstance(truth, dict) and truth.get(field) not in (None, ""):
            found.setdefault(post.global_id, Known(post, truth[field], file.parent))
    if not found:
        raise WorldError(f"{file} has no post whose truth says its {field}")
    return list(found.values())[:limit]


def number(line: dict[str, Any], field: str) -> float:
    """The number in a field of a line; raises `WorldError` where it is none."""
    value = line[field]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise WorldError(f"{field} must be a number, found {value!r}, beside {str(line)[:80]}")
    return float(value)


def picture_of(known: Known, settings: Settings) -> Pixels | Failed:
    """The post's picture, decoded as the flow does, or why there is none."""
    try:
        data = (known.folder / known.post.url).read_bytes()
        return decode(data, max_pixels=settings.fetch_max_pixels, max_side=settings.fetch_max_side)
    except Exception as error:  # a broken picture raises anything
        return Failed.of("fetch", error)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(path.glob("*.jsonl"))
    if not files:
        raise WorldError(f"{path} holds no .jsonl file")
    return files


def _objects(file: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(_bytes(file).splitlines(), start=1):
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

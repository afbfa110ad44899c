from base64 import b64encode
from pathlib import Path
from typing import Any

import orjson
import pytest

from memewax.demo import Truth, load_truth, make_posts

COMPOUND = {"negative": -0.6, "neutral": 0.0, "positive": 0.7}

Rows = list[dict[str, Any]]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the demo's posts."""
    return make_posts(tmp_path_factory.mktemp("demo")).parent


@pytest.fixture(scope="session")
def truth(folder: Path) -> Truth:
    return load_truth(folder)


@pytest.fixture
def rows(folder: Path, truth: Truth) -> Rows:
    """The records of a flow that makes no mistake."""
    return right_rows(folder, truth)


@pytest.fixture
def dead_letters(truth: Truth) -> Rows:
    """A dead letter for each broken post."""
    return letters(truth)


def right_rows(folder: Path, truth: Truth) -> Rows:
    templates = sorted({post.template for post in truth.posts.values()})
    made = {}
    for line in (folder / "posts.jsonl").read_bytes().splitlines():
        try:
            post = orjson.loads(line)
            known = truth.posts[post["global_id"]]
        except (orjson.JSONDecodeError, TypeError, KeyError):
            continue
        made[post["global_id"]] = row(
            post,
            cluster=templates.index(known.template),
            text_as_read=known.text,
            entities=[{"text": text, "label": label, "start": 0, "end": 1} for text, label in known.entities],
            sentiments={"compound": COMPOUND[known.mood or "neutral"]},
            timings={"fetch": 0.01, "text": 1.0},
            models={"text": "easyocr"},
        )
    for broken in truth.broken:
        if broken.global_id:
            failure = {"stage": "fetch", "exception": "BadRecordError", "reason": f"not an image: {broken.kind}"}
            made[broken.global_id] = row(orjson.loads(broken.value), failures=[failure])
    return list(made.values())


def letters(truth: Truth) -> Rows:
    return [
        {
            "stage": "fetch" if broken.global_id else "parse",
            "exception": "BadRecordError",
            "reason": f"bad: {broken.kind}",
            "global_id": broken.global_id,
            "origin": "file:/somewhere/posts.jsonl@17",
            "value": b64encode(broken.value).decode(),
        }
        for broken in truth.broken
    ]


def row(post: dict[str, Any], **columns: Any) -> dict[str, Any]:
    """A record of `post`; what is not given is as for an image that could not be read."""
    empty = {
        "cluster": -1,
        "text_as_read": None,
        "entities": None,
        "sentiments": None,
        "missing": [],
        "failures": [],
        "timings": {"fetch": 0.01, "text": 0.0},
        "models": {},
    }
    return {**post, "description": post["desc"], **empty, **columns}

"""What is known about the demo's posts. It lies beside them, where the flow does not look."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import orjson

FILE: Final = "truth.json"


@dataclass(frozen=True, slots=True)
class PostTruth:
    """What a careful reader would say of one post's image."""

    template: str
    text: str = ""
    """Its lines as they were drawn, joined by newlines; empty where nothing is written."""
    entities: tuple[tuple[str, str], ...] = ()
    """Text and label of each named entity."""
    mood: str | None = None
    """`negative`, `neutral` or `positive`; None where nothing is written."""
    repost_of: str | None = None


@dataclass(frozen=True, slots=True)
class Broken:
    """A line of the posts' file that must become a dead letter."""

    kind: str
    value: bytes
    """The whole line, as it is in the file, without its newline."""
    global_id: str | None = None
    """The post that still comes out, joined, where only its image is bad."""


@dataclass(frozen=True, slots=True)
class Truth:
    """The demo's posts by `global_id`, its broken lines, and how many lines say again what another said."""

    posts: dict[str, PostTruth]
    broken: tuple[Broken, ...] = ()
    duplicates: int = 0


def save_truth(folder: Path, truth: Truth) -> Path:
    """Write `truth` into `folder`."""
    body = asdict(truth)
    for broken in body["broken"]:
        broken["value"] = broken["value"].decode("latin-1")
    path = folder / FILE
    path.write_bytes(orjson.dumps(body, option=orjson.OPT_INDENT_2))
    return path


def load_truth(folder: Path) -> Truth:
    """The truth that `make_posts` left in `folder`."""
    body = orjson.loads((folder / FILE).read_bytes())
    posts = {
        global_id: PostTruth(**{**post, "entities": tuple(map(tuple, post["entities"]))})
        for global_id, post in body["posts"].items()
    }
    broken = tuple(Broken(**{**one, "value": one["value"].encode("latin-1")}) for one in body["broken"])
    return Truth(posts, broken, body["duplicates"])

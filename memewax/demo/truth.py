"""Labels of the demo's posts, stored in a file of their own that the flow does not read."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import orjson

FILE: Final = "truth.json"


@dataclass(frozen=True, slots=True)
class PostTruth:
    """Labels of a post's image."""

    template: str
    text: str = ""
    """Lines as drawn, joined by newlines; empty if there is no text."""
    entities: tuple[tuple[str, str], ...] = ()
    """Text and label of each named entity."""
    mood: str | None = None
    """`negative`, `neutral` or `positive`; None if there is no text."""
    repost_of: str | None = None
    """`global_id` of the post whose image is reposted."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A line of the posts' file that must become a dead letter."""

    kind: str
    value: bytes
    """The line in the file, without its newline."""
    global_id: str | None = None
    """Id of the post if only its image is broken: its record is still written."""


@dataclass(frozen=True, slots=True)
class Truth:
    """Labels of the demo."""

    posts: dict[str, PostTruth]
    """Labels of the good posts, by `global_id`."""
    broken: tuple[Broken, ...] = ()
    """Broken lines."""
    duplicates: int = 0
    """Number of duplicate lines."""


def save_truth(folder: Path, truth: Truth) -> Path:
    """Write `truth` into `folder`, and return its file."""
    body = asdict(truth)
    for broken in body["broken"]:
        broken["value"] = broken["value"].decode("latin-1")
    path = folder / FILE
    path.write_bytes(orjson.dumps(body, option=orjson.OPT_INDENT_2))
    return path


def load_truth(folder: Path) -> Truth:
    """Read the labels that `make_posts` wrote into `folder`."""
    body = orjson.loads((folder / FILE).read_bytes())
    posts = {
        global_id: PostTruth(**{**post, "entities": tuple(map(tuple, post["entities"]))})
        for global_id, post in body["posts"].items()
    }
    broken = tuple(Broken(**{**one, "value": one["value"].encode("latin-1")}) for one in body["broken"])
    return Truth(posts, broken, body["duplicates"])

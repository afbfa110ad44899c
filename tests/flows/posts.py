"""Posts for tests of the flow: small images of a few templates, reposts and broken posts among them."""

from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
import orjson
from PIL import Image

from tests.flows.pixels_flow import GRID

TEMPLATES: Final = 6
_SIDE: Final = 4 * GRID


@dataclass(slots=True)
class Posts:
    """A file of posts and what is true of it."""

    path: Path
    lines: list[bytes] = field(default_factory=list)
    """Messages in their order, each with its end."""
    template: dict[str, int] = field(default_factory=dict)
    """Of each post that has an image; its keys with those of `broken` are all ids, each to come out once."""
    broken: dict[str, bytes] = field(default_factory=dict)
    """Posts whose image is broken: their message."""
    garbage: list[bytes] = field(default_factory=list)
    """Messages that are no posts."""
    reposts: int = 0

    @property
    def ids(self) -> set[str]:
        return self.template.keys() | self.broken.keys()

    @property
    def valid(self) -> int:
        """Messages that are posts, reposts counted."""
        return len(self.ids) + self.reposts


def make_posts(folder: Path, count: int, seed: int = 7) -> Posts:
    """Make `count` posts, and about a fifth as many messages more: broken ones and posts that come again."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    templates = random.integers(0, 256, (TEMPLATES, GRID, GRID, 3))
    posts = Posts(folder / "posts.jsonl")
    for number in range(count):
        global_id, name = f"{number:05d}-reddit", f"{number:05d}.png"
        template = int(random.integers(TEMPLATES))
        line = _line(global_id, name, template)
        image = _image(templates[template], random)
        if number % 23 == 11:
            posts.broken[global_id] = line  # its file is missing
        elif number % 23 == 17:
            (folder / name).write_bytes(image[:60])
            posts.broken[global_id] = line
        else:
            (folder / name).write_bytes(image)
            posts.template[global_id] = template
        posts.lines.append(line)
        if number % 13 == 5:
            posts.lines.append(posts.lines[number // 2])  # seen before, or garbage once more
        if number % 19 == 3:
            posts.lines.append(b'{"global_id": %d, "broken"\n' % number)
    known = {bytes(line) for line in posts.broken.values()}
    seen: set[bytes] = set()
    for line in posts.lines:
        if line.startswith(b'{"global_id": '):
            posts.garbage.append(line.rstrip(b"\n"))
        elif line in seen:
            posts.reposts += 1
        seen.add(line)
    assert known <= seen
    posts.path.write_bytes(b"".join(posts.lines))
    return posts


def _line(global_id: str, url: str, template: int) -> bytes:
    post = {"global_id": global_id, "url": url, "desc": f"template {template}", "source": "reddit", "score": template}
    return orjson.dumps(post) + b"\n"


def _image(template: np.ndarray, random: np.random.Generator) -> bytes:
    pixels = template.repeat(_SIDE // GRID, 0).repeat(_SIDE // GRID, 1) + random.integers(-9, 10, (_SIDE, _SIDE, 3))
    file = BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "png", compress_level=1)
    return file.getvalue()


def image_of(template: int, random: np.random.Generator) -> bytes:
    """An image of a template of its own, with noise."""
    return _image(np.random.default_rng(template).integers(0, 256, (GRID, GRID, 3)), random)

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from PIL import Image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def write_lines(path: Path, lines: Iterable[Mapping[str, Any]]) -> Path:
    path.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    return path


def write_posts(folder: Path, truths: Iterable[Mapping[str, Any]]) -> Path:
    """A post for each truth, with a small image of its own."""
    posts = []
    for number, truth in enumerate(truths):
        pixels = np.full((8, 8, 3), number, np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        posts.append({"global_id": f"{number}-made", "url": f"{number}.png", "truth": truth})
    return write_lines(folder / "posts.jsonl", posts)

"""Each example runs as its docstring says, with fake models."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import orjson
import pytest
from PIL import Image

EXAMPLES: Final = Path(__file__).parents[1] / "examples"


def run(folder: Path, name: str, *arguments: str) -> str:
    environment = {**os.environ, "MEMEWAX_MODELS": "fake", "PYTHONPATH": str(EXAMPLES.parent)}
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two posts, an image, and the store that the first example makes of them."""
    made = tmp_path_factory.mktemp("examples")
    posts = [{"global_id": f"{n}-reddit", "url": "meme.jpg", "desc": "a cat in a box"} for n in range(2)]
    (made / "posts.jsonl").write_bytes(b"\n".join(map(orjson.dumps, posts)))
    Image.new("RGB", (32, 32)).save(made / "meme.jpg")
    assert run(made, "run_flow.py", "posts.jsonl", "store") == "2 posts\n"
    return made


@pytest.mark.parametrize("wanted", ["a cat in a box", "meme.jpg"])
def test_a_store_is_searched(folder: Path, wanted: str) -> None:
    lines = run(folder, "search_store.py", "store", wanted).splitlines()
    assert {line.split()[1] for line in lines} == {"0-reddit", "1-reddit"}


def test_images_are_analyzed(folder: Path) -> None:
    good, bad = map(orjson.loads, run(folder, "analyze_images.py", "meme.jpg", "none.jpg").splitlines())
    assert good["failures"] == {}
    assert good["text"]
    assert "No such file" in bad["failures"]["fetch"]


def test_every_example_is_run_here() -> None:
    text = Path(__file__).read_text()
    assert [it.name for it in EXAMPLES.glob("*.py") if it.name not in text] == []

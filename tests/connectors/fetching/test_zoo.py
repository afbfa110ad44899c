"""Images that are not what they say, through the very fetcher and flow of the settings' defaults."""

import re
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np
import orjson
import pytest
from bytewax.testing import run_main

from connectors.fetching.fetch import Fetching
from core.records import Arrival, Failure
from core.telemetry import FETCHES
from dataflows.all_settings import Settings
from dataflows.memes import memes
from models.clusterer import FakeClusterer
from models.loading import load_models
from operators.posts_input import fetching
from tests.connectors.fetching.zoo import Fails, Works, animals
from tests.factories import post
from tests.folders import ROOT
from tests.web_server import serving

ANIMALS = {it.name: it for it in animals()}
MOST_MB = 300
"""What all of them together may add to a process; the smallest of the bombs alone would take twice as much."""


class Keeper(BaseHTTPRequestHandler):
    """Shows every animal, and calls each a PNG."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        data = ANIMALS[self.path.lstrip("/")].data
        self.send_response(200)
        self.send_header("Content-Type", "image/png")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        """Not on stderr."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zoo")
    for name, animal in ANIMALS.items():
        (folder / name).write_bytes(animal.data)
    return folder


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with serving(Keeper) as address:
        yield address


@pytest.fixture(scope="module")
def fetcher(folder: Path) -> Fetching:
    return fetching(Settings(fetch_folder=folder, fetch_allow=("127.0.0.1",)))


@pytest.fixture(scope="module", params=["folder", "web"])
def arrived(request: pytest.FixtureRequest, fetcher: Fetching, site: str) -> dict[str, Arrival]:
    """What came of each, all fetched at once."""
    where = f"{site}/" if request.param == "web" else ""
    started = fetcher.start([post(name, url=f"{where}{name}") for name in ANIMALS])
    found = [it if isinstance(it, Arrival) else it.result(60) for it in started]
    return {it.post.global_id: it for it in found}


@pytest.mark.parametrize("name", [it.name for it in ANIMALS.values() if isinstance(it, Works)])
def test_an_image_works(arrived: dict[str, Arrival], name: str) -> None:
    expected, image = ANIMALS[name], arrived[name].image
    assert isinstance(expected, Works)
    assert isinstance(image, np.ndarray), image
    assert (image.shape[1], image.shape[0]) == expected.size
    middle = image[image.shape[0] // 2]
    np.testing.assert_allclose(np.stack([middle[0], middle[-1]]), expected.colours, atol=3)


@pytest.mark.parametrize("name", [it.name for it in ANIMALS.values() if isinstance(it, Fails)])
def test_what_is_none_has_its_reason(arrived: dict[str, Arrival], name: str) -> None:
    expected, image = ANIMALS[name], arrived[name].image
    assert isinstance(expected, Fails)
    assert isinstance(image, Failure)
    assert (image.stage, image.exception) == ("fetch", "FetchError")
    assert expected.reason in image.reason


def test_each_outcome_is_counted(fetcher: Fetching) -> None:
    def counted() -> dict[str, float]:
        outcomes = {"ok", *(it.outcome for it in ANIMALS.values() if isinstance(it, Fails))}
        return {outcome: FETCHES.labels(outcome)._value.get() for outcome in outcomes}

    before = counted()
    for it in fetcher.start([post(name, url=name) for name in ANIMALS]):
        assert isinstance(it, Arrival) or it.result(60)
    expected = ["ok" if isinstance(it, Works) else str(it.outcome) for it in ANIMALS.values()]
    assert {name: number - before[name] for name, number in counted().items()} == {
        name: expected.count(name) for name in before
    }


def test_none_of_them_stops_the_flow(folder: Path, tmp_path: Path) -> None:
    lines = [orjson.dumps({"global_id": name, "url": name}) + b"\n" for name in ANIMALS]
    (folder / "posts.jsonl").write_bytes(b"".join(lines))
    out, dead = tmp_path / "records.jsonl", tmp_path / "dead.jsonl"
    settings = Settings(source=str(folder / "posts.jsonl"), to=(str(out),), dead_letters=str(dead))
    # Models that answer at once, and the real fetcher: which of them it is, one setting says for both.
    run_main(memes(settings, load_models(Settings(models="fake")), FakeClusterer))

    records = [orjson.loads(line) for line in out.read_bytes().splitlines()]
    assert sorted(it["global_id"] for it in records) == sorted(ANIMALS)
    with_image = {it["global_id"] for it in records if it["embeddings"] is not None}
    assert with_image == {it.name for it in ANIMALS.values() if isinstance(it, Works)}

    letters = {it["global_id"]: it for it in map(orjson.loads, dead.read_bytes().splitlines())}
    assert letters.keys() == {it.name for it in ANIMALS.values() if isinstance(it, Fails)}
    for name, letter in letters.items():
        expected = ANIMALS[name]
        assert isinstance(expected, Fails)
        assert letter["stage"] == "fetch"
        assert expected.reason in letter["reason"]


_ALL_AT_ONCE = """
import sys
from dataflows.all_settings import Settings
from operators.posts_input import fetching
from tests.factories import post

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) // 1024

folder, *names = sys.argv[1:]
fetcher = fetching(Settings(source=f"{folder}/posts.jsonl"))
fetcher.start([post("one_pixel.png", url="one_pixel.png")])[0].result()
before = peak()
wait = [it.result().image for it in fetcher.start([post(name, url=name) for name in names])]
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no peak of memory to be read")
def test_all_of_them_at_once_take_bounded_memory(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _ALL_AT_ONCE, str(folder), *ANIMALS],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=ROOT,
    )
    found = re.fullmatch(r"(\d+)\n", done.stdout)
    assert found, done.stdout
    assert int(found[1]) < MOST_MB

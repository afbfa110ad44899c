"""The public API, and the example of the README that uses it."""

import re
from pathlib import Path
from typing import Final

import numpy as np
import orjson
import pytest
from bytewax.testing import run_main
from PIL import Image

import memewax
from models.loading import Models
from models.stages import MODEL_STAGES

ROOT: Final = Path(__file__).parents[1]
_EXAMPLE: Final = re.compile(r"```python\n(import memewax\n.*?)```", re.DOTALL)
NUMBER: Final = 5


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that the flow of `build_flow` wrote, with fake models."""
    folder = tmp_path_factory.mktemp("api")
    posts = [
        {"global_id": f"{n}-reddit", "url": f"{n}.png", "desc": f"post {n}", "source": "reddit"} for n in range(NUMBER)
    ]
    (folder / "posts.jsonl").write_bytes(b"\n".join(map(orjson.dumps, posts)))
    run_main(memewax.build_flow(folder / "posts.jsonl", folder / "demo", models="fake"))
    return folder / "demo"


def store_in(demo: Path) -> memewax.MemeStore:
    return memewax.open_store(demo, models="fake")


def test_all_names_are_there_and_have_docstrings() -> None:
    for name in memewax.__all__:
        assert getattr(memewax, name).__doc__, name


def test_posts_are_read_as_a_table(demo: Path) -> None:
    store = store_in(demo)
    table = store.posts()
    assert table.num_rows == NUMBER
    assert "embeddings" not in table.schema.names
    assert sorted(store.posts(["global_id"])["global_id"].to_pylist()) == [f"{n}-reddit" for n in range(NUMBER)]
    assert store.posts(limit=2).num_rows == 2
    with pytest.raises(memewax.SettingsError, match="no column 'nothing'"):
        store.posts(["nothing"])


def test_a_post_is_found_by_its_id(demo: Path) -> None:
    post = store_in(demo).post("3-reddit")
    assert post is not None
    assert post["url"] == "3.png"
    assert store_in(demo).post("none") is None


def test_posts_are_searched_by_sentence_and_by_image(demo: Path, tmp_path: Path) -> None:
    store = store_in(demo)
    assert len(store.search("post", k=3)) == 3
    pixels = np.zeros((8, 8, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "some.png")
    found = [[it.id for it in store.search_image(it, k=2)] for it in (pixels, tmp_path / "some.png")]
    assert found[0] == found[1]
    assert len(found[0]) == 2
    assert store.search("post", source="elsewhere") == []


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"k": 0}, "k must be"), ({"colour": "red"}, "unknown filter 'colour'"), ({"corpus": "none"}, "none")],
)
def test_a_search_that_cannot_be_done_says_why(demo: Path, options: dict[str, str], reason: str) -> None:
    with pytest.raises(memewax.MemewaxError, match=reason):
        store_in(demo).search("post", **options)  # type: ignore[arg-type]


def test_clusters_and_sql(demo: Path) -> None:
    store = store_in(demo)
    (cluster,) = store.clusters()
    assert cluster.size == NUMBER
    assert store.cluster(cluster.cluster) == cluster
    assert store.cluster(99) is None
    assert {"global_id", "url"} <= store.exemplars(cluster)[0].keys()
    assert store.sql("SELECT count(*) AS n FROM posts") == [{"n": NUMBER}]


def test_no_store_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(memewax.WorldError):
        memewax.open_store(tmp_path / "nothing").posts()


def test_images_are_analyzed_in_order_and_a_bad_one_alone_fails(tmp_path: Path) -> None:
    analyze = memewax.Analyzer(models="fake")
    pixels = np.full((20, 20, 3), 7, np.uint8)
    Image.fromarray(pixels).save(tmp_path / "good.png")
    bad, *good = analyze([b"nothing", pixels, tmp_path / "good.png", (tmp_path / "good.png").read_bytes()])
    assert bad.embedding is None
    assert list(bad.failures) == ["fetch"]
    models = Models(*(it.model.fake() for it in MODEL_STAGES if it.model is not None))
    for it in good:
        assert not it.failures
        assert it.reading == models.ocr([pixels])[0]
        assert it.embedding is not None
        np.testing.assert_array_equal(it.embedding, models.image.one(pixels))
        assert it.text_embedding is not None
    assert analyze([]) == []


def test_a_missing_file_is_a_failure_of_its_own(tmp_path: Path) -> None:
    (found,) = memewax.Analyzer(models="fake")([tmp_path / "none.png"])
    assert "No such file" in found.failures["fetch"]


@pytest.mark.parametrize("document", ["README.md", "docs/quickstart.md"])
def test_the_example_of_a_document_runs(
    document: str, demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = _EXAMPLE.search((ROOT / document).read_text())
    assert example is not None
    (tmp_path / "demo").symlink_to(demo)
    Image.new("RGB", (32, 32)).save(tmp_path / "meme.jpg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEMEWAX_MODELS", "fake")
    exec(example[1], {})

import re
from pathlib import Path

import numpy as np
import pytest

from dataflows.all_settings import Settings
from memewax.evaluation import eval_ocr as ocr
from memewax.evaluation.data import posts_of
from memewax.evaluation.embedded_posts import EmbeddedPosts, embed
from memewax.evaluation.eval_clusters import report
from memewax.evaluation.pages import mixed, others, split_templates, worst, write_clusters, write_ocr
from memewax.evaluation.progress_bar import Steps
from models.clusterer import FakeClusterer
from models.fake_models import FakeImage, FakeOcr
from tests.browser import CHROMIUM, browse, widths
from tests.evaluation.conftest import write_lines, write_posts

HOSTILE = "<script>document.title = 'it ran'</script><img src=x onerror=alert(1)>"


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memewax.evaluation.measures.RESAMPLES", 10)


@pytest.fixture
def ocr_page(tmp_path: Path) -> Path:
    """The fake reads "Hello Paris" everywhere."""
    file = write_posts(tmp_path, [{"text": it} for it in ("hello paris", "Hello\nRome", HOSTILE, "no image")])
    (tmp_path / "3.png").unlink()
    posts = posts_of(file, "text")
    with Steps("reading", len(posts)) as steps:
        cases = ocr.read(posts, FakeOcr(), Settings(), steps)
    assert [case.name for case in worst(cases)] == ["3-made", "2-made", "1-made"]
    write_ocr(tmp_path / "page.html", ocr.report(cases, "fake"), cases)
    return tmp_path / "page.html"


@pytest.fixture
def clusters_page(tmp_path: Path) -> Path:
    """Five images in one cluster."""
    file = write_posts(tmp_path, [{"template": it} for it in ("cat", "dog", "cat", HOSTILE, "cat")])
    posts = posts_of(file, "template")
    with Steps("embedding", len(posts)) as steps:
        embedded = embed(posts, FakeImage(), Settings(), steps)
    found, shown = report(embedded, "fake", FakeClusterer)
    (sheet,) = mixed(embedded, shown.labels)
    assert (sheet.template, sheet.members, sheet.all_members) == ("cat", 3, 3)
    assert [image.stranger for image in sheet.images] == [True] * 2 + [False] * 3
    write_clusters(tmp_path / "page.html", found, embedded, shown.labels)
    return tmp_path / "page.html"


def test_the_worst_clusters_and_the_most_split_templates_come_first() -> None:
    templates = ("a", "a", "a", "a", "b", "b", "b", "", "", "c")
    labels = np.array([1, 1, 2, 9, 3, 3, 4, 3, 3, 5])
    posts = EmbeddedPosts(tuple("0123456789"), templates, np.zeros((10, 2), np.float32), (None,) * 10, (None,) * 10)
    (sheet,) = mixed(posts, labels)
    assert (sheet.cluster, sheet.template, sheet.members, sheet.all_members, sheet.strangers) == (3, "b", 2, 3, 2)
    assert [(it.name, it.label) for it in sheet.images if it.stranger] == [("7", "no template"), ("8", "no template")]
    assert [it.cluster for it in others(posts, labels)] == [1, 2, 4, 5, 9]
    split = split_templates(posts, labels)
    assert [(it.template, it.cluster, it.outside, it.members, it.clusters) for it in split] == [
        ("a", 1, 2, 4, 3),
        ("b", 3, 1, 3, 2),
    ]
    assert [(it.name, it.label) for it in split[0].images] == [("0", ""), ("2", "cluster 2"), ("3", "cluster 9")]


def test_both_texts_stand_side_by_side(ocr_page: Path) -> None:
    html = ocr_page.read_text()
    assert "Hello <br><u>Rome</u>" in html
    assert "Hello <mark>Paris</mark>" in html
    assert html.count("<article") == 3
    assert "No such file" in html


def test_a_cluster_says_how_much_of_its_template_it_holds(clusters_page: Path) -> None:
    assert "All 3 of cat, 2 of others" in clusters_page.read_text()


def test_images_beside_the_data_are_shown(tmp_path: Path) -> None:
    file = write_posts(tmp_path, [{"template": "cat"}])
    url = f"file://{tmp_path}/0.png"
    (tmp_path / "data").mkdir()
    moved = write_lines(tmp_path / "data" / "x.jsonl", [{"global_id": "1", "url": url, "truth": {"template": "cat"}}])
    file.unlink()
    with Steps("embedding", 1) as steps:
        embedded = embed(posts_of(moved, "template"), FakeImage(), Settings(), steps)
    (sheet,) = others(embedded, np.array([0]))
    assert sheet.images[0].source


@pytest.mark.parametrize("page", ["ocr_page", "clusters_page"])
def test_hostile_text_is_text_and_nothing_is_fetched(page: str, request: pytest.FixtureRequest) -> None:
    html = request.getfixturevalue(page).read_text()
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert set(re.findall(r'(?:src|href)="([^",]*)', html)) == {"data:", "data:image/webp;base64"}


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH")
@pytest.mark.parametrize("page", ["ocr_page", "clusters_page"])
def test_it_opens_in_a_browser(page: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    dom = browse(request.getfixturevalue(page), tmp_path / "profile", "--dump-dom")
    assert "<title>memewax eval" in dom
    assert "it ran</title>" not in dom


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH")
@pytest.mark.parametrize("page", ["ocr_page", "clusters_page"])
def test_a_phone_scrolls_in_one_direction_only(page: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    wide, to_scroll = widths(request.getfixturevalue(page), tmp_path, 390)
    assert wide == to_scroll < 391

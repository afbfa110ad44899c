import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from memewax.demo import Truth, summarise, write_page
from memewax.pages.showing import compared
from tests.browser import CHROMIUM, browse, widths
from tests.demo.conftest import Rows, letters, right_rows

HOSTILE = "<script>document.title = 'it ran'</script><img src=x onerror=alert(1)>"
VOID = {"meta", "link", "br", "img"}
Tags = list[tuple[str, dict[str, str | None]]]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, truth: Truth, folder: Path) -> Path:
    """A page with hostile text wherever text can come from outside."""
    rows, dead_letters = right_rows(folder, truth), letters(truth)
    for it in rows[:3]:
        it.update(text_as_read=HOSTILE, author=HOSTILE, description=HOSTILE, missing=[HOSTILE])
        it["entities"] = [{"text": HOSTILE, "label": HOSTILE, "start": 0, "end": 1}]
    dead_letters[0].update(reason=HOSTILE, origin=HOSTILE, stage=HOSTILE)
    summary = summarise(rows, dead_letters, truth, seconds=42)
    path = tmp_path_factory.mktemp("page") / "page.html"
    return write_page(path, summary, rows=rows, dead_letters=dead_letters, truth=truth, folder=folder)


@pytest.fixture(scope="module")
def tags(page: Path) -> Tags:
    """Its tags with their attributes, in order."""
    return Outline(page.read_text()).tags


class Outline(HTMLParser):
    """Tags with their attributes, in order; fails where tags are not nested."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: Tags = []
        self._open: list[str] = []
        self.feed(html)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag


def test_hostile_text_is_text(page: Path, tags: Tags) -> None:
    html = page.read_text()
    assert "<script" not in html
    assert "onerror=alert" in html
    assert not [attributes for _, attributes in tags if any(name.startswith("on") for name in attributes)]


def test_nothing_is_fetched_from_anywhere(page: Path, tags: Tags) -> None:
    for tag, attributes in tags:
        for name in ("src", "href"):
            value = attributes.get(name) or ""
            assert value.startswith(("data:", "#")) or name not in attributes, (tag, value)
    assert not re.search(r"url\(|@import", page.read_text())


def test_every_image_is_there_with_words_for_it(tags: Tags, truth: Truth) -> None:
    images = [attributes for tag, attributes in tags if tag == "img"]
    assert len(images) == len(truth.posts)
    assert all(len(attributes["alt"] or "") > 10 for attributes in images)


def test_the_credits_are_sentences(page: Path) -> None:
    assert re.search(r"\)\. They were cropped", page.read_text())


def test_headings_and_landmarks(tags: Tags) -> None:
    names = [tag for tag, _ in tags]
    assert names.count("h1") == names.count("main") == names.count("footer") == 1
    levels = [int(tag[1]) for tag in names if re.fullmatch("h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_posts_are_grouped_by_cluster_and_those_without_come_last(tags: Tags, rows: Rows) -> None:
    sections = [attributes["id"] for tag, attributes in tags if tag == "section"]
    assert len(sections) == len({it["cluster"] for it in rows})
    assert sections[-1] == "cluster--1"


def test_an_image_outside_the_folder_is_not_shown(tmp_path: Path, rows: Rows, truth: Truth, folder: Path) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "secret.png")
    rows[0]["url"] = str(tmp_path / "secret.png")
    rows[1]["url"] = "https://example.org/image.jpg"
    summary = summarise(rows, [], truth)
    page = write_page(tmp_path / "page.html", summary, rows=rows, dead_letters=[], truth=truth, folder=folder)
    assert page.read_text().count("<img") == len(truth.posts) - 2


def test_the_bytes_of_a_dead_letter_are_shown_though_they_are_no_text(page: Path) -> None:
    assert "Ren\N{REPLACEMENT CHARACTER}e" in page.read_text()


def test_words_are_judged_in_their_place() -> None:
    lines = compared("You are a\nwonderful human", "YOU are &\nwonderful, hunan")
    assert [[word.right for word in line] for line in lines] == [[True, True, False], [True, False]]
    assert [word.text for line in lines for word in line] == ["YOU", "are", "&", "wonderful,", "hunan"]


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH")
class TestInABrowser:
    def test_it_opens_and_no_text_of_it_runs(self, page: Path, tmp_path: Path) -> None:
        dom = browse(page, tmp_path / "profile", "--dump-dom")
        assert "<title>memewax demo: what was found in" in dom
        assert "it ran</title>" not in dom
        assert dom.count('<article class="card">') == page.read_text().count('<article class="card">')

    @pytest.mark.parametrize("width", [390, 1280])
    def test_images_are_painted_and_nothing_leaves_the_screen(self, page: Path, tmp_path: Path, width: int) -> None:
        shot = tmp_path / "shot.png"
        options = (
            f"--screenshot={shot}",
            f"--window-size={width},4000",
            "--virtual-time-budget=3000",
            "--hide-scrollbars",
        )
        browse(page, tmp_path / "profile", *options)
        with Image.open(shot) as image:
            pixels = np.asarray(image.convert("RGB"), int)
        assert pixels.shape[1] == width
        margin = pixels[:, -8:]
        assert (margin == margin[0, 0]).all(), "something runs into the right margin"
        colours = np.ptp(pixels[2000:], axis=2)
        assert (colours > 60).mean() > 0.02, "no photograph was painted"

    def test_a_phone_scrolls_in_one_direction_only(self, page: Path, tmp_path: Path) -> None:
        wide, to_scroll = widths(page, tmp_path, 390)
        assert wide == to_scroll < 391

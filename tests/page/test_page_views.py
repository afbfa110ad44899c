"""The views show what there is, and what strangers wrote stays text."""

import re
from pathlib import Path
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from memewax.page.page_views import marked, web_address
from tests.page.stores import SCRIPT, said

VIEWS = ["/", "/?sort=rising", "/?sort=new&source=imgur", "/posts", "/posts?alone=1", "/now", "/search", "/search?q=cat", "/dead-letters"]  # fmt: skip
STORES = ["client", "old_client", "empty_client", "hostile_client"]


def html(client: TestClient, path: str, status: int = 200) -> str:
    answer = client.get(path)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return answer.text


@pytest.mark.parametrize("path", VIEWS)
@pytest.mark.parametrize("which", STORES)
def test_every_view_opens_whatever_the_store(which: str, path: str, request: pytest.FixtureRequest) -> None:
    assert "<h1" in html(request.getfixturevalue(which), path)


def test_the_wall_has_a_tile_for_each_cluster_and_names_those_alone(store: Path, client: TestClient) -> None:
    said(store)  # just now: what was said before may be too old on a busy machine
    page = html(client, "/")
    assert page.count('<li class="tile">') == 2
    assert "1 alone" in page
    assert re.search(r'<img src="/thumbnail/[0-9a-f]{64}"', page)
    assert "memes: running" in page


def test_an_old_store_says_why_there_is_no_image(old_client: TestClient) -> None:
    page = html(old_client, "/")
    assert "No thumbnail" in page
    assert "<img" not in page


def test_an_empty_store_says_what_fills_it(empty_client: TestClient) -> None:
    assert "memewax run --to store" in html(empty_client, "/")
    assert "No flow has written" in html(empty_client, "/now")


def test_a_cluster_stacks_copies_and_tells_of_merges(client: TestClient) -> None:
    page = html(client, "/clusters/1")
    assert "2 copies of the same image" in page
    assert page.count('<article class="card">') == 3
    assert "cluster 1 was merged into cluster 0" in page
    assert page.count('<svg class="lane"') == 3
    html(client, "/clusters/7", 404)


def test_a_post_shows_boxes_entities_tone_and_where_it_is_from(client: TestClient) -> None:
    page = html(client, "/posts/1-reddit")
    assert "<title>Hello Paris (75 %)</title>" in page
    assert 'viewBox="0 0 320 240"' in page
    assert re.search(r'<mark title="GPE">Paris<small> GPE</small></mark>', page)
    assert '<meter min="0" max="1" value="0.7"' in page
    assert 'href="https://reddit.example/1"' in page
    assert "a grey cat" in page
    assert "Copies of this image (2)" in page
    html(client, "/posts/nobody", 404)


def test_a_sensitive_image_is_veiled(client: TestClient) -> None:
    assert 'class="veil"' in html(client, f"/posts/{quote('did:plc:x/5-bluesky', safe='')}")
    assert html(client, "/posts/1-reddit").count('class="veil"') == 1  # of its neighbours, the one that is


def test_a_search_that_cannot_be_done_says_why(hostile_client: TestClient, client: TestClient) -> None:
    assert "Nothing was found" in html(client, "/search?q=dog")
    page = html(hostile_client, f"/search?q={quote(SCRIPT)}")
    assert "<script>document" not in page


HOSTILE = [f"/posts/{quote(f'{number}{chr(39)}{chr(34)}<b>-{SCRIPT[:40]}', safe='')}" for number in range(6)]


@pytest.mark.parametrize("path", ["/", "/posts", "/clusters/3", "/now", "/dead-letters", *HOSTILE])
def test_what_strangers_wrote_is_text_and_bounded(hostile_client: TestClient, path: str) -> None:
    page = html(hostile_client, path)
    assert "<script>document" not in page
    assert "<b>-" not in page
    assert "onerror=&#34;" in page or "onerror" not in page
    assert not re.search(r'href="\s*javascript:', page)
    assert not {"\u202e", "\u2066", "\x1b"} & set(page)
    assert len(page) < 400_000


def test_text_is_no_template(hostile_client: TestClient) -> None:
    assert "{{ 7 * 7 }}" in html(hostile_client, "/posts")


def test_letters_of_strangers_are_text(client: TestClient) -> None:
    page = html(client, "/dead-letters")
    assert "&lt;script&gt;document" in page
    assert "<script>document" not in page


def test_nothing_comes_from_elsewhere(client: TestClient) -> None:
    for path in ["/", "/posts/3-imgur", "/now"]:
        assert not re.findall(r'(?:src|<link[^>]*href)="(?!/)[^"]*"', html(client, path))
    for path in ["/static/page.css", "/static/page.js", "/static/icon.svg"]:
        answer = client.get(path)
        assert answer.status_code == 200
        assert "{%" not in answer.text
    assert not re.search(r'<script>|<style|\sstyle="|\son[a-z]+="', html(client, "/posts/1-reddit"))


def test_entities_are_marked_where_they_are() -> None:
    entities = [{"start": 6, "end": 11, "label": "GPE"}, {"start": 8, "end": 12, "label": "ORG"}, {"start": 50, "end": 60, "label": "GPE"}]  # fmt: skip
    assert [(it["text"], it["label"]) for it in marked("Hello Paris!", entities)] == [
        ("Hello ", ""),
        ("Paris", "GPE"),
        ("!", ""),
    ]
    assert marked("", []) == []


@pytest.mark.parametrize("text", ["javascript:alert(1)", "data:text/html,x", "images/1.png", "https://", None, 7, "http://[x"])  # fmt: skip
def test_only_an_address_of_the_web_is_a_link(text: object) -> None:
    assert web_address(text) == ""

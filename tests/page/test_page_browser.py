"""The page in a real browser: every view, by keyboard, for a screen reader, with strangers' texts, while it changes."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from connectors.store.posts_table import PostStore
from memewax.page.page_access import Access
from memewax.page.page_search import PageHit, PageHits, SearchRequest
from tests.browser import CHROMIUM
from tests.factories import make_removal
from tests.page.stores import HOSTILE, SCRIPT, app_of, filled, found_first, hostile_id, row, webp

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH")

WIDE, PHONE = 1280, 320
VIEWS = {
    "clusters": "/",
    "cluster": "/clusters/0",
    "post": "/posts/1-reddit",
    "posts": "/posts",
    "now": "/now",
    "search": "/search?q=cat",
    "like a post": "/search?like=1-reddit&by=looks",
    "nothing found": "/search?q=dog&since=2026-05-01",
    "filtered": "/posts?source=imgur",
    "letters": "/dead-letters",
    "none": "/nowhere",
    "login": "/login",
}


@contextmanager
def served(folder: Path, find: Any = found_first) -> Iterator[str]:
    """The address of a page over a store."""
    config = uvicorn.Config(app_of(folder, Access(), find), port=0, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        thread.join(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = server.force_exit = True
        thread.join()


@pytest.fixture(scope="module")
def address(store: Path) -> Iterator[str]:
    with served(store) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield launched
        launched.close()


@contextmanager
def looking(browser: Browser, width: int = WIDE, colours: Any = "light") -> Iterator[Page]:
    """A page whose every complaint, and every request that leaves this machine, fails the test."""
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=colours)
    context.set_default_timeout(30_000)
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: wrong.append(dialog.message) or dialog.dismiss())
    page.on("console", lambda it: wrong.append(it.text) if it.type == "error" and "404" not in it.text else None)
    page.on("request", lambda it: wrong.append(it.url) if not it.url.startswith("http://127.0.0.1:") else None)
    try:
        yield page
        assert wrong == []
    finally:
        context.close()


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_nothing_keeps_anybody_from_using_a_view(address: str, browser: Browser, colours: str) -> None:
    axe = Axe()
    with looking(browser, colours=colours) as page:
        for name, path in VIEWS.items():
            page.goto(f"{address}{path}")
            found = axe.run(page)
            assert found.violations_count == 0, f"{name}, {colours}: {found.generate_report()}"


def test_what_would_keep_somebody_from_it_would_be_noticed(address: str, browser: Browser) -> None:
    with looking(browser) as page:
        page.goto(address)
        page.locator(".tile img").first.evaluate("it => it.removeAttribute('alt')")
        assert Axe().run(page).violations_count == 1


def test_no_view_is_wider_than_a_small_phone(address: str, browser: Browser) -> None:
    with looking(browser, PHONE) as page:
        for name, path in VIEWS.items():
            page.goto(f"{address}{path}")
            assert page.evaluate("document.documentElement.scrollWidth") <= PHONE, name


def test_one_gets_everywhere_by_keyboard(address: str, browser: Browser) -> None:
    with looking(browser) as page:
        page.goto(address)
        page.keyboard.press("Tab")
        expect(page.locator(":focus")).to_have_text("Skip to the content")
        page.keyboard.press("Enter")
        assert page.url.endswith("#main")
        page.keyboard.press("/")
        expect(page.locator(":focus")).to_have_id("q")
        page.keyboard.type("cat")
        page.keyboard.press("Enter")
        expect(page.locator(".card")).to_have_count(1)
        assert page.url.endswith("/search?q=cat")
        page.locator(".card a").first.focus()
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_have_text("a cat")


GIVEN = {
    "dropped": "dispatchEvent(new DragEvent('drop', {dataTransfer: held, bubbles: true, cancelable: true}))",
    "pasted": "dispatchEvent(new ClipboardEvent('paste', {clipboardData: held, bubbles: true, cancelable: true}))",
}


@pytest.mark.parametrize("how", ["chosen", *GIVEN])
def test_an_image_is_looked_for_wherever_one_is(address: str, browser: Browser, how: str) -> None:
    with looking(browser, PHONE) as page:
        page.goto(address)
        page.locator("#q").fill("cat")
        if how == "chosen":
            small = {"name": "a.webp", "mimeType": "image/webp", "buffer": webp(90)}
            page.locator("#image").set_input_files(files=[small])
        else:
            held = "const held = new DataTransfer(); held.items.add(new File(['x'], 'a.png', {type: 'image/png'})); "
            page.evaluate(held + GIVEN[how])
        page.wait_for_url("**/search")
        expect(page.get_by_role("status")).to_contain_text("1 post like your image with these words")
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE
        assert Axe().run(page).violations_count == 0


def test_a_list_is_filtered_by_keyboard_and_the_query_is_the_address(address: str, browser: Browser) -> None:
    with looking(browser) as page:
        page.goto(f"{address}/posts")
        page.locator(".filters summary").focus()
        page.keyboard.press("Enter")
        page.get_by_label("Author").fill("bob")
        page.keyboard.press("Enter")
        expect(page.locator(".card")).to_have_count(1)
        assert "author=bob" in page.url
        page.get_by_role("link", name="Show all").click()
        expect(page.locator(".card")).to_have_count(10)


def test_a_click_anywhere_on_a_tile_opens_its_cluster(address: str, browser: Browser) -> None:
    with looking(browser) as page:
        page.goto(address)
        page.locator(".tile img").first.click(force=True)  # the link lies over it
        page.wait_for_url("**/clusters/0")
        page.locator("summary").first.click()  # the pile of copies
        expect(page.get_by_role("link", name="4-imgur")).to_be_visible()


def test_images_are_painted_with_the_boxes_upon_them(address: str, browser: Browser) -> None:
    with looking(browser) as page:
        page.goto(f"{address}/posts/1-reddit")
        image, boxes = page.locator(".whole img").bounding_box(), page.locator(".boxes").bounding_box()
        assert page.locator(".whole img").evaluate("it => it.naturalWidth") == 160
        assert image == boxes


def test_a_sensitive_image_is_blurred_until_one_wants_to_see_it(address: str, browser: Browser) -> None:
    with looking(browser) as page:
        page.goto(f"{address}/posts/{quote('did:plc:x/5-bluesky', safe='')}")
        image = page.locator(".whole img")
        assert "blur" in image.evaluate("it => getComputedStyle(it).filter")
        page.locator(".whole .veil").focus()
        page.keyboard.press("Space")
        assert image.evaluate("it => getComputedStyle(it).filter") == "none"


def test_without_images_the_words_stand_where_they_stood(address: str, browser: Browser) -> None:
    with looking(browser) as page:
        page.goto(address)
        before = page.locator(".tile h2").first.bounding_box()
        waiting: list[Route] = []
        page.route("**/thumbnail/*", lambda route: waiting.append(route))  # noqa: PLW0108  # a network so slow that none comes
        page.goto(address, wait_until="domcontentloaded")
        assert page.locator(".tile h2").first.bounding_box() == before
        for it in waiting:
            it.fulfill(status=404)


def found_hostile(request: SearchRequest, k: int) -> PageHits:
    """The post whose text has this number, and all others as what might be meant."""
    hits = [PageHit(hostile_id(number), 0.9, SCRIPT) for number in range(len(HOSTILE))]
    return PageHits((hits[int(request.words)],), weak=tuple(hits[:k]), searched=SCRIPT)


@pytest.fixture(scope="module")
def hostile_address(hostile_store: Path) -> Iterator[str]:
    with served(hostile_store, found_hostile) as found:
        yield found


def looks_well(page: Page, path: str) -> None:
    """That nothing in a view ran, turned around or made it wider than a small phone, or too large to be read."""
    page.goto(path)
    expect(page.locator("h1")).to_be_visible()
    assert page.title() != "it ran", path
    assert page.locator("main script, main [onerror], main a[href^=javascript]").count() == 0, path
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE, path
    assert page.evaluate("getComputedStyle(document.querySelector('footer p')).direction") == "ltr"
    text = page.evaluate("document.documentElement.outerHTML")
    assert not {"\u202e", "\u2066", "\x1b"} & set(text), path
    assert len(text) < 600_000, path


@pytest.mark.parametrize("path", ["/", "/posts", "/clusters/3", "/now", "/dead-letters"])
def test_a_list_of_what_strangers_wrote_looks_as_any(hostile_address: str, browser: Browser, path: str) -> None:
    with looking(browser, PHONE) as page:
        looks_well(page, f"{hostile_address}{path}")
        for it in page.locator("main details").all():  # what is folded is laid out as well
            it.evaluate("it => it.open = true")
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE


@pytest.mark.parametrize("what", HOSTILE)
def test_what_a_stranger_wrote_neither_runs_nor_breaks_a_view(
    hostile_address: str, browser: Browser, what: str
) -> None:
    number = list(HOSTILE).index(what)
    with looking(browser, PHONE) as page:
        looks_well(page, f"{hostile_address}/posts/{quote(hostile_id(number), safe='')}")
        expect(page.locator("h1")).not_to_have_text(re.compile("Post not found"))
        looks_well(page, f"{hostile_address}/search?q={number}")
        expect(page.locator("main .cards").first.locator(".card")).to_have_count(1)
        looks_well(page, f"{hostile_address}/posts?{urlencode({'author': HOSTILE[what][:200]})}")
        page.locator("main .read a").first.click()
        expect(page.locator("h1")).not_to_have_text(re.compile("Post not found"))


def test_a_post_comes_and_one_goes_while_one_looks(tmp_path: Path, browser: Browser) -> None:
    folder = filled(tmp_path / "store")
    with served(folder) as at, looking(browser) as page:
        page.goto(f"{at}/now")
        expect(page.locator("[data-part=images] .card")).to_have_count(10)
        store = PostStore(folder, 8, 8)
        store.upsert([row("new-a", 0, 500, "just now")])
        expect(page.locator("[data-part=images] .card").first).to_contain_text("Hello Paris")
        expect(page.get_by_text("just now")).to_be_visible()
        store.remove([make_removal(global_id="new-a")])
        expect(page.get_by_text("just now")).to_have_count(0)
        page.goto(f"{at}/posts/new-a")
        expect(page.locator("h1")).to_have_text("Post not found")

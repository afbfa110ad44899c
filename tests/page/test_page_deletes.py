"""The page shows nothing of what was deleted, on any path, once the refresh time is over."""

import threading
from pathlib import Path

from starlette.testclient import TestClient

from connectors.store.posts_table import PostStore
from tests.factories import make_removal
from tests.page.stores import app_of, filled, key

API = "/api/v1"
PATHS = (
    *("/", "/clusters", "/clusters/0", "/posts", "/posts/1-reddit", "/now", "/search?q=cat"),
    *(f"{API}/posts", f"{API}/posts/1-reddit", f"{API}/posts?cluster=0", f"{API}/posts?author=bob"),
    *(f"{API}/clusters", f"{API}/clusters/0", f"{API}/stats", f"{API}/search?q=cat"),
    *(f"/take-away/{what}.{form}" for what in ("posts", "clusters") for form in ("jsonl", "csv")),
)
TRACES = ("3-imgur", "bob", "imgur.example/3.png", key(3))
GONE = ("/posts/3-imgur", f"{API}/posts/3-imgur", f"/thumbnail/{key(3)}")


def shown(client: TestClient) -> set[str]:
    """The paths that show something of the post."""
    texts = {path: client.get(path).text for path in PATHS}
    there = {path for path in GONE if client.get(path).status_code == 200}
    return there | {path for path, text in texts.items() if any(it in text.replace(path, "") for it in TRACES)}


def test_what_was_deleted_is_shown_nowhere(tmp_path: Path) -> None:
    folder = filled(tmp_path / "store")
    client = TestClient(app_of(folder))
    before = shown(client)
    assert set(GONE) | {"/posts", f"{API}/posts", f"{API}/clusters/0", "/take-away/posts.jsonl"} <= before
    PostStore(folder, 8, 8).remove([make_removal(global_id="3-imgur")])
    left = before
    for _ in range(200):  # what is read may be a moment old
        if not (left := shown(client)):
            break
        threading.Event().wait(0.05)
    assert left == set()
    assert "4-imgur" in client.get(f"{API}/posts").text

"""Posts without small images get them, each once, and what cannot be fetched is counted."""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import lancedb
import numpy as np
import pytest

from connectors.folder import Folder
from connectors.store import missing_images
from connectors.store.missing_images import AddedImages, add_images, posts_without
from connectors.writer_locks import all_locked, lock_files
from core.errors import BusyError, WorldError
from core.records import Arrival, Failure, Post
from search.store_reader import StoreReader
from tests.page.stores import aged, filled, key, webp

PIXELS = np.zeros((2, 3, 3), np.uint8)


class FromHere:
    """Fetches what stands behind an address here; the others fail."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.asked: list[str] = []

    def start(self, posts: Sequence[Post]) -> Sequence[Arrival]:
        self.asked += [it.global_id for it in posts]
        return [self._arrival(it) for it in posts]

    def _arrival(self, it: Post) -> Arrival:
        data = self.files.get(it.global_id)
        if data is None:
            return Arrival(it, Failure("fetch", "FetchError", "HTTP 404"))
        found = replace(it, picture_sha256=sha256(data).hexdigest())
        return Arrival(found, PIXELS, thumbnail=data, width=3, height=2)


def last(store: Path, fetching: FromHere) -> AddedImages:
    *_, found = add_images(store, fetching)
    return found


def test_an_older_store_gets_images_that_its_page_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(missing_images, "_AT_ONCE", 4)
    monkeypatch.setattr(missing_images, "_WRITTEN", 2)
    store = aged(tmp_path / "store")
    fetching = FromHere({"1-reddit": webp(1), "2-reddit": webp(1), "20-reddit": webp(2)})
    found = last(store, fetching)
    assert (found.posts, found.added, found.failed.total()) == (10, 3, 7)
    assert len(found.failed) == 1
    reader = StoreReader(store)
    (row,) = reader.rows(["1-reddit"])
    small = reader.thumbnail(row["picture_sha256"])
    assert small is not None
    assert (small.webp, small.width, small.height) == (webp(1), 3, 2)
    assert row["text_as_read"] == "Hello Paris"  # all else stays
    again = FromHere({})
    assert last(store, again).posts == 7
    assert not {"1-reddit", "2-reddit", "20-reddit"} & set(again.asked)


def test_a_file_that_is_another_one_now_is_not_shown_as_what_was_looked_at(tmp_path: Path) -> None:
    store = filled(tmp_path / "store")
    asked = {it.global_id: it.picture_sha256 for it in posts_without(store)}
    assert asked["20-reddit"] == key(20)  # its small image is missing
    assert "1-reddit" not in asked
    found = last(store, FromHere({"20-reddit": webp(7)}))
    assert (found.added, found.changed) == (0, 1)


def test_a_post_that_went_meanwhile_stays_gone(tmp_path: Path) -> None:
    store = aged(tmp_path / "store")

    class Deleting(FromHere):
        def start(self, posts: Sequence[Post]) -> Sequence[Arrival]:
            lancedb.connect(store).open_table("posts").delete("global_id = '1-reddit'")
            return super().start(posts)

    assert last(store, Deleting({"1-reddit": webp(1)})).added == 0
    assert StoreReader(store).rows(["1-reddit"]) == []


def test_where_a_flow_writes_nothing_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.writer_locks.PATIENCE", 0.01)
    store = filled(tmp_path / "store")
    fetching = FromHere({})
    with all_locked(lock_files([Folder.at(store)])), pytest.raises(BusyError, match="another run"):
        last(store, fetching)
    assert fetching.asked == []
    with pytest.raises(WorldError, match="is not a store"):
        list(posts_without(tmp_path / "none"))

"""A reader of a store sees what its writers do, and keeps what it saw where it cannot be read for a while."""

import time
from pathlib import Path

import pytest

from connectors.store.posts_table import PostStore
from core.errors import WorldError
from search.followed_posts import FollowedPosts
from search.store_posts import extra_of, is_sensitive
from search.store_reader import StoreReader
from tests.page.stores import aged, filled, key, row


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return filled(tmp_path / "store")


def test_it_follows_in_the_background_and_keeps_what_it_saw(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = StoreReader(store)
    assert len(reader.catalogue().posts) == 10
    PostStore(store, 8, 8).upsert([row("new-a", 5, 99)])

    def broken(posts: FollowedPosts) -> None:
        tried.append(posts)
        raise WorldError("amid a change")

    tried: list[FollowedPosts] = []
    with monkeypatch.context() as patched:
        patched.setattr(FollowedPosts, "step", broken)
        while not tried:
            assert len(reader.catalogue().posts) == 10
    while len(reader.catalogue().posts) < 11:
        time.sleep(0.01)


def test_what_did_not_change_is_not_read_again(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = StoreReader(store)
    first = reader.catalogue()
    assert reader.refresh() is first
    PostStore(store, 8, 8).upsert([row("new-a", 5, 99)])
    assert reader.refresh() is not first


def test_the_exemplar_is_no_copy_and_stays(store: Path) -> None:
    reader = StoreReader(store)
    before = reader.exemplars([0, 5, 7, 99])
    assert before.keys() == {0, 5}
    assert before[0].global_id in {"1-reddit", "3-imgur", "did:plc:x/5-bluesky"}
    PostStore(store, 8, 8).upsert([row(f"{number}-late", 0, 200 + number, copy_of="1-reddit") for number in range(30)])
    reader.refresh()
    assert reader.exemplars([0])[0].global_id == before[0].global_id


def test_the_nearest_come_first_and_the_post_itself_is_none_of_them(store: Path) -> None:
    near = StoreReader(store).neighbours("1-reddit", 3)
    assert len(near) == 3
    assert "1-reddit" not in dict(near)
    assert [cosine for _, cosine in near] == sorted((cosine for _, cosine in near), reverse=True)
    assert StoreReader(store).neighbours("nobody", 3) == []


def test_the_newest_are_those_joined_last_whatever_the_catalogue_knows(store: Path) -> None:
    reader = StoreReader(store)
    reader.catalogue()
    PostStore(store, 8, 8).upsert([row("it's new-a", 5, 400)])
    assert [it["global_id"] for it in reader.newest(2)] == ["it's new-a", "13-tumblr"]


def test_the_catalogue_says_which_versions_it_was_read_from(store: Path) -> None:
    reader = StoreReader(store)
    assert reader.catalogued() == {}
    reader.catalogue()
    before = reader.catalogued()
    assert before == reader.versions()
    PostStore(store, 8, 8).upsert([row("later-a", 5, 400)])
    assert reader.catalogued() == before != reader.versions()
    reader.refresh()
    assert reader.catalogued() == reader.versions()


def test_rows_come_in_the_order_that_is_asked_for(store: Path) -> None:
    reader = StoreReader(store)
    ids = ["20-reddit", "nobody", "1-reddit", "20-reddit"]
    assert [it["global_id"] for it in reader.rows(ids, ["url", "of_a_later_version"])] == ["20-reddit", "1-reddit"]
    assert reader.rows(ids, ["of_a_later_version"])[0]["of_a_later_version"] is None


def test_an_old_store_and_none_at_all_are_read(tmp_path: Path) -> None:
    old = StoreReader(aged(tmp_path / "old"))
    assert [len(it.posts) for it in old.catalogue().clusters] == [4, 3, 2]
    assert (old.thumbnail(key(1)), old.history(0)) == (None, [])
    none = StoreReader(tmp_path / "none")
    assert len(none.catalogue().posts) == len(none.catalogue().clusters) == 0
    assert (none.newest(3), none.rows(["a"]), none.versions(), none.exemplars([0])) == ([], [], {}, {})


def test_a_small_image_knows_the_size_of_the_one_that_was_read(store: Path) -> None:
    found = StoreReader(store).thumbnail(key(1))
    assert found is not None
    assert (found.width, found.height) == (320, 240)


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({"nsfw": True}, True),
        ({"over_18": True}, True),
        ({"labels": ["porn"]}, True),
        ({"labels": ["!no-unauthenticated"]}, False),
        ({"labels": [1, None]}, False),
        ({"labels": "porn"}, False),
        ({"nsfw": "no"}, False),
        ({}, False),
    ],
)
def test_what_not_everybody_wants_to_see(extra: dict[str, object], expected: bool) -> None:
    assert is_sensitive(extra) == expected


@pytest.mark.parametrize("extra", [None, "", "[1]", "not json"])
def test_fields_that_cannot_be_read_are_none(extra: str | None) -> None:
    assert extra_of({"extra": extra}) == {}

"""The small images of a store: one for each file, as long as a post refers to it, and no longer."""

from pathlib import Path

import lancedb
import pytest

from connectors.sinks.record_table import THUMBNAILS
from connectors.store import thumbnails
from connectors.store.keyed_table import KeyedTable
from connectors.store.posts_table import PostRows
from connectors.store.store_maintenance import compact_store, facts_of
from core.records import Thumbnail
from tests.connectors.store.test_removed_posts import TIME, ids, row
from tests.factories import POSTS, make_removal, post


def key(letter: str) -> str:
    return letter * 64


def small(global_id: str, letter: str) -> Thumbnail:
    made = post(global_id, url=f"https://x/{global_id}.png", author="ann", source="a", picture_sha256=key(letter))
    return Thumbnail(made, letter.encode())


def kept(folder: Path) -> dict[str, bytes]:
    """Small images by the letter of their key."""
    rows = lancedb.connect(folder).open_table(THUMBNAILS.name).to_arrow().to_pylist()
    assert len(rows) == len({it["picture_sha256"] for it in rows})
    return {it["picture_sha256"][0]: it["webp"] for it in rows}


def written(folder: Path, **posts: str) -> PostRows:
    """A store of posts, each with the letter of its image."""
    table = PostRows(folder, POSTS)
    table.write_thumbnails([small(f"{it}-a", letter) for it, letter in posts.items()])
    table.upsert([row(f"{it}-a", picture_sha256=key(letter)) for it, letter in posts.items()])
    return table


def test_an_image_is_kept_once_for_all_posts_and_goes_with_the_last(tmp_path: Path) -> None:
    table = written(tmp_path, one="a", other="b", again="a")
    assert kept(tmp_path) == {"a": b"a", "b": b"b"}
    table.remove([make_removal(global_id="one-a"), make_removal(global_id="other-a")])
    assert kept(tmp_path) == {"a": b"a"}
    table.remove([make_removal(author="ann", source="a")])
    assert kept(tmp_path) == {}
    table.write_thumbnails([small("new-b", "a")])  # comes again, and is written again
    assert kept(tmp_path) == {}  # of an account that is gone
    table.write_thumbnails([Thumbnail(post("new-b", picture_sha256=key("a")), b"a")])
    assert kept(tmp_path) == {"a": b"a"}


def test_an_image_stays_whose_other_post_is_still_on_its_way(tmp_path: Path) -> None:
    table = written(tmp_path, one="a")
    table.write_thumbnails([small("other-a", "a")])
    table.remove([make_removal(global_id="one-a")])
    assert kept(tmp_path) == {"a": b"a"}
    table.upsert([row("other-a", picture_sha256=key("a"))])
    table.remove([make_removal(global_id="other-a")])
    assert kept(tmp_path) == {}


@pytest.mark.parametrize("do", ["delete", "compact"])
def test_an_image_stays_after_a_restart_whose_other_post_still_waits_in_the_join(tmp_path: Path, do: str) -> None:
    table = written(tmp_path, one="a")
    table.write_thumbnails([small("other-a", "a"), small("two-a", "b")])
    table = PostRows(tmp_path, POSTS, table.mark())
    if do == "delete":
        table.remove([make_removal(global_id="one-a")])
    else:
        table.compact()
    assert kept(tmp_path).keys() == {"a", "b"}
    table.upsert([row("other-a", picture_sha256=key("a")), row("two-a", picture_sha256=key("b"))])
    table.remove([make_removal(global_id="one-a"), make_removal(global_id="other-a"), make_removal(global_id="two-a")])
    assert kept(tmp_path) == {}
    assert PostRows(tmp_path, POSTS, table.mark()).mark() == table.mark()


def test_an_image_stays_for_one_of_two_posts_on_their_way_where_the_last_is_deleted(tmp_path: Path) -> None:
    table = written(tmp_path, one="a")
    table.write_thumbnails([small("two-a", "a"), small("three-a", "a")])
    table.remove([make_removal(global_id="one-a"), make_removal(global_id="three-a")])
    table.upsert([row("three-a", picture_sha256=key("a"))])
    assert kept(tmp_path) == {"a": b"a"}
    table.upsert([row("two-a", picture_sha256=key("a"))])
    assert kept(tmp_path) == {"a": b"a"}


@pytest.mark.parametrize("before", [{"picture_sha256": None}, {"picture_sha256": key("b")}], ids=["retry", "edit"])
def test_an_image_stays_for_the_next_revision_of_a_post(tmp_path: Path, before: dict[str, str | None]) -> None:
    table = written(tmp_path, one="a")
    table.upsert([row("two-a", **before)])
    edited = TIME if before["picture_sha256"] else None
    table.write_thumbnails([Thumbnail(post("two-a", edited=edited, picture_sha256=key("a")), b"a")])
    table.remove([make_removal(global_id="one-a")])
    assert kept(tmp_path) == {"a": b"a"}
    table.upsert([row("two-a", revision=2, picture_sha256=key("a"))])
    table.remove([make_removal(global_id="two-a")])
    assert kept(tmp_path) == {}


def test_a_snapshot_names_only_posts_whose_rows_are_still_on_their_way(tmp_path: Path) -> None:
    table = written(tmp_path, one="a", two="b")
    table.upsert([row("three-a", picture_sha256=key("c"))])
    table.write_thumbnails([small("three-a", "c"), small("four-a", "d")])
    assert [it[0] for it in (table.mark() or {})["thumbnails"]] == ["four-a"]


def test_an_edit_of_a_post_leaves_the_image_that_a_hidden_one_shows(tmp_path: Path) -> None:
    table = PostRows(tmp_path, POSTS)
    table.write_thumbnails([small("one-a", "a"), small("two-a", "a"), small("one-a", "b")])
    table.upsert([row("one-a", picture_sha256=key("a")), row("two-a", author="bob", picture_sha256=key("a"))])
    table.remove([make_removal(author="bob", source="a", hidden=True)])
    table = PostRows(tmp_path, POSTS, table.mark())
    table.upsert([row("one-a", revision=2, picture_sha256=key("b"))])
    assert kept(tmp_path).keys() == {"a", "b"}


def test_what_an_edit_of_a_hidden_post_replaces_goes(tmp_path: Path) -> None:
    table = written(tmp_path, one="a")
    table.remove([make_removal(author="ann", source="a", hidden=True)])
    table.write_thumbnails([small("one-a", "b")])
    table.upsert([row("one-a", revision=2, picture_sha256=key("b"))])
    assert kept(tmp_path).keys() == {"b"}


def test_an_image_goes_whose_other_post_was_deleted_on_its_way(tmp_path: Path) -> None:
    table = written(tmp_path, one="a")
    table.write_thumbnails([small("other-a", "a")])
    table.remove([make_removal(global_id="one-a"), make_removal(global_id="other-a")])
    table.upsert([row("other-a", picture_sha256=key("a"))])
    assert kept(tmp_path) == {}


def test_of_a_post_that_was_deleted_before_it_came_none_is_kept(tmp_path: Path) -> None:
    table = written(tmp_path, one="a")
    table.remove([make_removal(global_id="two-a", time=TIME)])
    table = PostRows(tmp_path, POSTS, table.mark())
    table.write_thumbnails([small("two-a", "b")])
    assert kept(tmp_path) == {"a": b"a"}


def test_hidden_posts_keep_theirs(tmp_path: Path) -> None:
    table = written(tmp_path, one="a", two="b")
    table.remove([make_removal(author="ann", source="a", hidden=True)])
    table.remove([make_removal(global_id="one-a")])
    table.compact()
    assert kept(tmp_path) == {"b": b"b"}


def test_what_an_edit_replaces_goes_also_where_both_come_together(tmp_path: Path) -> None:
    table = PostRows(tmp_path, POSTS)
    table.write_thumbnails([small("one-a", "a"), small("one-a", "b"), small("two-a", "c")])
    images = (("one-a", 1, "a"), ("two-a", 1, "c"), ("one-a", 2, "b"))
    table.upsert([row(it, revision=revision, picture_sha256=key(letter)) for it, revision, letter in images])
    assert kept(tmp_path).keys() == {"b", "c"}


def test_what_an_edit_replaces_goes(tmp_path: Path) -> None:
    table = written(tmp_path, one="a", two="a", three="c")
    table.write_thumbnails([small("one-a", "b"), small("three-a", "d")])
    table.upsert(
        [row(f"{it}-a", revision=2, picture_sha256=key(letter)) for it, letter in (("one", "b"), ("three", "d"))]
    )
    assert kept(tmp_path).keys() == {"a", "b", "d"}


@pytest.mark.parametrize("by_command", [False, True])
def test_what_no_post_refers_to_goes_when_tables_are_put_together(
    tmp_path: Path, by_command: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = written(tmp_path, one="a")
    table.write_thumbnails([small("one-a", "b")])  # a repeat, which the join drops
    if by_command:
        compact_store(tmp_path)
    else:
        table.compact()
    assert kept(tmp_path).keys() == {"a"}
    assert {it.table: it.rows for it in facts_of(tmp_path)}[THUMBNAILS.name] == 1
    monkeypatch.setattr(thumbnails, "_SWEEP_EVERY", 2)
    monkeypatch.setattr(thumbnails, "_RECENT", 1)
    table = PostRows(tmp_path, POSTS)
    table.write_thumbnails([small("c-a", "c")])
    table.write_thumbnails([small("d-a", "d")])
    assert kept(tmp_path).keys() == {"a", "d"}


def test_a_store_of_an_earlier_version_has_none_and_goes_on(tmp_path: Path) -> None:
    PostRows(tmp_path, POSTS).upsert([row("1-a")])
    lancedb.connect(tmp_path).open_table("posts").drop_columns(["picture_sha256"])
    compact_store(tmp_path)
    table = PostRows(tmp_path, POSTS)
    table.remove([make_removal(global_id="1-a")])
    table.write_thumbnails([small("2-a", "b")])
    table.upsert([row("2-a", picture_sha256=key("b"))])
    assert kept(tmp_path) == {"b": b"b"}


def test_the_size_of_the_image_is_kept_and_not_known_of_earlier_ones(tmp_path: Path) -> None:
    table = written(tmp_path, one="a")
    lancedb.connect(tmp_path).open_table(THUMBNAILS.name).drop_columns(["width", "height"])
    table = PostRows(tmp_path, POSTS, table.mark())
    table.write_thumbnails([Thumbnail(post("2-a", picture_sha256=key("b")), b"b", 640, 480)])
    rows = lancedb.connect(tmp_path).open_table(THUMBNAILS.name).to_arrow().to_pylist()
    assert {it["webp"]: (it["width"], it["height"]) for it in rows} == {b"a": (None, None), b"b": (640, 480)}


def test_who_dies_amid_a_delete_leaves_no_image_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = written(tmp_path, one="a", two="b")
    mark, delete = table.mark(), KeyedTable.delete_where

    def dies(self: KeyedTable, where: str) -> None:
        if "global_id" in where:
            raise KeyboardInterrupt
        delete(self, where)

    with monkeypatch.context() as patched:
        patched.setattr(KeyedTable, "delete_where", dies)
        with pytest.raises(KeyboardInterrupt):
            table.remove([make_removal(global_id="one-a")])
    table = PostRows(tmp_path, POSTS, mark)
    table.remove([make_removal(global_id="one-a")])
    assert (ids(tmp_path), kept(tmp_path)) == ({"two-a"}, {"b": b"b"})


def test_a_row_that_comes_after_its_delete_takes_its_image_with_it(tmp_path: Path) -> None:
    table = PostRows(tmp_path, POSTS)
    table.write_thumbnails([small("one-a", "a")])
    table.remove([make_removal(global_id="one-a")])  # another process was quicker with it than with the row
    table.upsert([row("one-a", picture_sha256=key("a"))])
    assert kept(tmp_path) == {}

"""A store's revisions are known to a run that begins in it, and to that run alone those of its beginning."""

from pathlib import Path
from typing import Any

import lancedb
import pytest

from connectors.sinks.record_table import posts_table
from connectors.sinks.rows import row_of
from connectors.store.posts_table import TABLE, PostRows
from connectors.store.stored_revisions import FILE, revisions_of
from core.errors import WorldError
from core.records import Record
from operators.first_ids import FirstNumbers, first_numbers
from tests.factories import post, sides

POSTS = posts_table(8, 8)


def row(global_id: str, revision: int) -> dict[str, Any]:
    return row_of(Record(post(global_id), sides(global_id), revision=revision), "")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    store = tmp_path / "store"
    PostRows(store, POSTS).upsert([row(f"it's {number}", 1 + number % 3) for number in range(100)])
    return store


def begun(*stores: Path, recovery: str = "r") -> FirstNumbers:
    folder = stores[0].parent / recovery
    folder.mkdir(exist_ok=True)
    return first_numbers(stores, folder, lambda _: None)


def test_a_new_run_goes_on_after_the_revisions_of_the_store(store: Path) -> None:
    first = begun(store)
    assert [first.revision_of(f"it's {number}") for number in range(100)] == [1 + number % 3 for number in range(100)]
    assert first.revision_of("another") == 0
    PostRows(store, POSTS).upsert([row("it's 1", 8), row("another", 1)])
    again = begun(store)
    assert (again.revision_of("it's 1"), again.revision_of("another")) == (2, 0), "a crash changes nothing"
    other = begun(store, recovery="other")
    assert (other.revision_of("it's 1"), other.revision_of("another")) == (8, 1)


def test_the_highest_of_several_stores_counts(store: Path, tmp_path: Path) -> None:
    second, empty = tmp_path / "second", tmp_path / "empty"
    PostRows(second, POSTS).upsert([row("it's 0", 7), row("it's 2", 1)])
    first = begun(store, second, empty)
    assert [first.revision_of(it) for it in ("it's 0", "it's 2", "none")] == [7, 3, 0]


def test_rows_of_a_version_without_revisions_are_first_ones(store: Path) -> None:
    table = lancedb.connect(store).open_table(TABLE)
    table.update(where="global_id = 'it''s 2'", values={"revision": 9})
    table.drop_columns(["revision"])
    assert begun(store).revision_of("it's 2") == 1
    PostRows(store, POSTS)  # widened, which leaves it empty
    assert begun(store, recovery="other").revision_of("it's 2") == 1


def test_a_note_that_is_broken_is_one_line(store: Path) -> None:
    begun(store)
    (store / FILE).write_bytes(b"no numbers")
    with pytest.raises(WorldError, match=r"revisions\.npy is not a list of revisions"):
        revisions_of([store])

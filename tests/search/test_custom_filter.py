"""Posts are found by their custom columns, whatever a visitor writes into the filter."""

from dataclasses import replace

import pytest

from connectors.store.interface import TableReader
from connectors.store.lance_tables import tables_of
from connectors.store.posts_table import PostRows
from core.columns import Column, Flag, Integer, Number, Text
from core.errors import BadRecordError
from search.custom_filter import custom_columns, ids_where
from tests.factories import POSTS
from tests.page.stores import row

OWN = {"mood": Text(), "rank": Integer(), "a rate": Number(), "kept": Flag()}


@pytest.fixture(scope="module")
def posts(tmp_path_factory: pytest.TempPathFactory) -> TableReader:
    folder = tmp_path_factory.mktemp("own")
    columns = [Column(name, kind, "", is_custom=True) for name, kind in OWN.items()]
    first = {"mood": "it's fine", "rank": 5, "a rate": 0.5, "kept": True}
    rows = [row("a", 0, 0, extra=first), row("b", 0, 1, extra={"rank": 6})]
    PostRows(folder, replace(POSTS, columns=(*POSTS.columns, *columns))).upsert(rows)
    return tables_of(folder).table(POSTS.name)


@pytest.mark.parametrize(
    ("column", "value"), [("mood", "it's fine"), ("rank", "5"), ("a rate", "0.5"), ("kept", "true")]
)
def test_a_value_finds_its_posts(posts: TableReader, column: str, value: str) -> None:
    assert custom_columns(posts).keys() == OWN.keys()
    assert ids_where(posts, column, value) == {"a"}


@pytest.mark.parametrize("value", ["' OR 1=1 --", "6) OR (1=1", "nan; DROP", "x" * 10_000])
def test_what_is_no_value_finds_nothing(posts: TableReader, value: str) -> None:
    assert ids_where(posts, "mood", value) == frozenset()
    for column in ("rank", "a rate", "kept"):
        with pytest.raises(BadRecordError, match=f"{column} takes"):
            ids_where(posts, column, value)


def test_other_columns_are_not_asked(posts: TableReader) -> None:
    for column in ("global_id", "extra", "embeddings", "x` = 1 OR `rank"):
        with pytest.raises(BadRecordError, match="mood, rank"):
            ids_where(posts, column, "1")


def test_a_store_without_posts_has_none() -> None:
    assert custom_columns(None) == {}
    with pytest.raises(BadRecordError, match="none"):
        ids_where(None, "mood", "1")

"""Custom columns in a store."""

from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pytest

from connectors.custom_columns import with_custom_columns
from connectors.sinks.record_table import stored_posts
from connectors.sinks.rows import row_of
from connectors.store.custom_values import fitting
from connectors.store.posts_table import PostRows, PostStore
from connectors.store.store_folder import opened
from core.columns import Table
from core.records import Record
from core.telemetry import MISFITS
from dataflows.all_settings import Settings
from tests.factories import ANSWERS, post, sides

DIMENSIONS = {"embedding": 8, "text_embedding": 8}
CSV = b"id,image_url,title,year,share,hot,seen,code,text,a.b\n1,a.png,Hi,2023,0.5,true,2023-12-11 08:00:00,007,theirs,x\n2,b.png,Ho,2024,1,false,2024-01-01,010,,y\n"


def table_of(tmp_path: Path, content: bytes = CSV, name: str = "rows.csv", **settings: Any) -> Table:
    (tmp_path / name).write_bytes(content)
    return with_custom_columns(
        stored_posts(DIMENSIONS), Settings(source=(str(tmp_path / name),), to=("x",), **settings)
    )


def row(name: str, **extra: Any) -> dict[str, Any]:
    made = post(name, extra=extra)
    return row_of(Record(made, sides(made.global_id, **ANSWERS)), "2026-06-01T00:00:00+00:00")


def rows(folder: Path, where: str) -> list[dict[str, Any]]:
    found = opened(folder).open_table("posts").search().where(where).to_list()
    return sorted(found, key=lambda it: it["global_id"])


def test_columns_of_a_table_are_typed_columns_of_the_store(tmp_path: Path) -> None:
    table = table_of(tmp_path)
    own = {column.name: type(column.type).__name__ for column in table.columns if column.is_custom}
    assert own == {"year": "Integer", "share": "Number", "hot": "Flag", "seen": "Text", "code": "Text"}
    store = PostRows(tmp_path / "store", table)
    store.upsert(
        [row("1", year=2023, share=1, hot=True, seen="2023", code="007", text="theirs"), row("2", year="many")]
    )
    (found,) = rows(tmp_path / "store", "year > 2000 AND hot AND share = 1.0 AND code = '007'")
    assert found["global_id"] == "1"
    assert orjson.loads(found["extra"]) == {"text": "theirs"}
    assert rows(tmp_path / "store", "year IS NULL")[0]["global_id"] == "2"


def test_a_stream_of_json_widens_nothing_but_by_what_is_chosen(tmp_path: Path) -> None:
    content = b'{"global_id": "1", "url": "a.png", "whatever": 1}\n'
    assert table_of(tmp_path, content, "posts.jsonl") == stored_posts(DIMENSIONS)
    table = table_of(tmp_path, content, "posts.jsonl", columns=("n=whatever", "m=deep.er:float"))
    assert [column.name for column in table.columns if column.is_custom] == ["n", "m"]


def test_a_store_keeps_its_own_columns_whoever_opens_it_and_gains_others(tmp_path: Path) -> None:
    PostStore(tmp_path / "store", 8, 8).upsert([row("0")])
    PostRows(tmp_path / "store", table_of(tmp_path)).upsert([row("1", year=2023)])
    PostStore(tmp_path / "store", 8, 8).upsert([row("2", year=2024)])
    other = table_of(tmp_path, b"id,url,year,mood\n3,c.png,never,glad\n", "other.csv")
    PostRows(tmp_path / "store", other).upsert([row("3", year="never", mood="glad")])
    found = {it["global_id"]: (it["year"], it["mood"]) for it in rows(tmp_path / "store", "true")}
    assert found == {"0": (None, None), "1": (2023, None), "2": (2024, None), "3": (None, "glad")}


@pytest.mark.parametrize(
    ("value", "type_", "found"),
    [
        (3, pa.int64(), 3),
        (3.0, pa.int64(), 3),
        (3.5, pa.int64(), None),
        (float("nan"), pa.int64(), None),
        (float("inf"), pa.int64(), None),
        (2**70, pa.int64(), None),
        ("3", pa.int64(), None),
        (True, pa.int64(), None),
        (3, pa.float64(), 3.0),
        ("x", pa.float64(), None),
        (True, pa.bool_(), True),
        (1, pa.bool_(), None),
        ("x", pa.string(), "x"),
        ([1], pa.string(), "[1]"),
    ],
)
def test_a_value_that_does_not_fit_is_null_and_counted(value: Any, type_: pa.DataType, found: Any) -> None:
    before = MISFITS.labels("c")._value.get()
    assert fitting("c", value, type_) == found
    assert MISFITS.labels("c")._value.get() - before == (found is None)
    assert fitting("c", None, type_) is None


def test_there_are_a_hundred_at_most(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"n{number}" for number in range(150)]
    table = table_of(tmp_path, f"id,url,{','.join(names)}\n1,a.png{',1' * 150}\n".encode())
    assert [column.name for column in table.columns if column.is_custom] == names[:100]
    assert "the rest stays in extra" in capsys.readouterr().out

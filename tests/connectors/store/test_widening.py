"""A store of an older shape: widened where something was added, refused where a type changed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import lancedb
import pytest

from connectors.sinks.record_table import stored_posts
from connectors.sinks.rows import row_of
from connectors.store import keyed_table
from connectors.store.lance_store import folder_store
from connectors.store.posts_table import TABLE, PostStore
from connectors.store.store_sink import StoreSink
from connectors.store.stored_table import StoredTable
from core.columns import Column, Integer, ListOf, Number, Struct, Table, Text
from core.errors import WorldError
from models.stage import Stage, StageColumn
from models.stages import STAGES
from tests.factories import record

DIMENSIONS = {"embedding": 8, "text_embedding": 8}
ANOTHER = Stage("another", (StageColumn(Column("another", Number(), "Of another stage"), lambda value: value),))
SEVEN = stored_posts(DIMENSIONS, (*STAGES, ANOTHER))
NESTED = Table(
    "nested", "key", (Column("key", Text(), "Key"), Column("parts", ListOf(Struct({"a": Text()})), "Parts"))
)  # fmt: skip


def row(global_id: str, **answers: Any) -> dict[str, Any]:
    return row_of(record(global_id, **answers), "now")


def with_another(global_id: str) -> dict[str, Any]:
    made = row(global_id)
    made["timings"] = {**made["timings"], "another": 0.5}
    made["models"] = {**made["models"], "another": "its model"}
    return {**made, "another": 0.25}


def rows_of(store: StoredTable) -> dict[str, dict[str, Any]]:
    rows = store.rows()
    assert len(rows) == store.count()
    return {it["global_id"]: it for it in rows}


def changed(table: Table, column: str, **fields: Any) -> Table:
    return replace(table, columns=tuple(replace(it, **fields) if it.name == column else it for it in table.columns))


def test_a_store_of_fewer_stages_keeps_its_rows_and_takes_the_new_ones(tmp_path: Path) -> None:
    before = [
        row(f"{number}", **({"sentiment": None, "embedding": None} if number % 2 else {})) for number in range(30)
    ]
    PostStore(tmp_path, 8, 8).upsert(before)
    expected = rows_of(PostStore(tmp_path, 8, 8))
    for _ in range(2):  # what is widened is only opened
        store = StoredTable(tmp_path, SEVEN)
        store.upsert([with_another("new")])
    found = rows_of(StoredTable(tmp_path, SEVEN))
    assert sum(it["embeddings"] is None for it in found.values()) == 15
    new = found.pop("new")
    assert (new["another"], new["timings"]["another"], new["models"]["another"]) == (0.25, 0.5, "its model")
    for global_id, old in expected.items():
        made = found[global_id]
        assert made.pop("another") is None
        assert made["timings"].pop("another") is None
        assert made["models"].pop("another") is None
        assert made == old
    assert found.keys() == expected.keys()


def test_a_struct_in_a_list_gains_a_field(tmp_path: Path) -> None:
    StoredTable(tmp_path, NESTED).upsert([{"key": "a", "parts": [{"a": "x"}]}, {"key": "b", "parts": None}])
    wider = changed(NESTED, "parts", type=ListOf(Struct({"b": Integer(), "a": Text()})))
    StoredTable(tmp_path, wider).upsert([{"key": "c", "parts": [{"a": "y", "b": 1}]}])
    assert {it["key"]: it["parts"] for it in StoredTable(tmp_path, wider).rows()} == {
        "a": [{"a": "x", "b": None}], "b": None, "c": [{"a": "y", "b": 1}],
    }  # fmt: skip


def test_the_order_of_columns_is_nothing(tmp_path: Path) -> None:
    StoredTable(tmp_path, NESTED).upsert([{"key": "a", "parts": []}])
    turned = StoredTable(tmp_path, replace(NESTED, columns=NESTED.columns[::-1]))
    turned.upsert([{"parts": [{"a": "x"}], "key": "b"}])
    assert {it["key"]: it["parts"] for it in turned.rows()} == {"a": [], "b": [{"a": "x"}]}


def test_one_that_dies_in_the_middle_leaves_the_old_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    PostStore(tmp_path, 8, 8).upsert([row("a"), row("b")])
    whole = keyed_table.copied

    def broken(table: Any, wanted: Any) -> Any:
        def batches() -> Any:
            yield from whole(table, wanted)
            raise OSError("disk full")

        return type(whole(table, wanted)).from_batches(wanted, batches())

    with monkeypatch.context() as patch:
        patch.setattr(keyed_table, "copied", broken)
        with pytest.raises(WorldError, match="disk full"):
            StoredTable(tmp_path, SEVEN)
    assert rows_of(PostStore(tmp_path, 8, 8)).keys() == {"a", "b"}
    assert rows_of(StoredTable(tmp_path, SEVEN)).keys() == {"a", "b"}


@pytest.mark.parametrize(
    ("name", "fields", "told"),
    [
        ("score", {"type": Text()}, "column score is int64 and should be string"),
        ("timings", {"type": Struct({"fetch": Text()})}, "column timings is struct"),
        ("sentiments", {"type": Struct({"negative": Number()})}, "column sentiments is struct"),
        ("score", {"name": "points"}, "other columns, score"),
    ],
)
def test_a_changed_type_is_refused_before_anything_is_read(
    tmp_path: Path, name: str, fields: dict[str, Any], told: str
) -> None:
    PostStore(tmp_path, 8, 8).upsert([row("a")])
    version = lancedb.connect(tmp_path).open_table(TABLE).version
    with pytest.raises(WorldError, match=told) as raised:
        StoreSink(folder_store(tmp_path), changed(SEVEN, name, **fields), "store").check()
    assert raised.value.exit_code == 3
    assert "\n" not in str(raised.value)
    assert lancedb.connect(tmp_path).open_table(TABLE).version == version


def test_a_row_whose_key_does_not_fit_is_told_in_one_line(tmp_path: Path) -> None:
    store = PostStore(tmp_path, 8, 8)
    for key in (7, None):
        with pytest.raises(WorldError, match=r"the store cannot be written: [^\n]*$"):
            store.upsert([{**row("a"), "global_id": key}])


def test_a_value_that_does_not_fit_does_not_stop_the_store(tmp_path: Path) -> None:
    store = PostStore(tmp_path, 8, 8)
    store.upsert([{**row("a"), "score": "many"}, {**row("b"), "score": 2**70}, row("c")])
    assert {it["global_id"]: it["score"] for it in store.rows()} == {"a": None, "b": None, "c": row("c")["score"]}

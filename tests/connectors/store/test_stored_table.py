"""Any table of a store, as a part of memewax declares it."""

from dataclasses import replace
from pathlib import Path

import lancedb
import pyarrow as pa
import pytest

from connectors.sinks.cluster_events import CLUSTERS
from connectors.sinks.record_table import posts_table
from connectors.store.arrow_schema import arrow_schema
from connectors.store.lance_store import folder_store
from connectors.store.store_sink import StoreSink
from connectors.store.stored_table import StoredTable
from core.columns import AnyJson, Column, Integer, ListOf, Number, Struct, Table, Text, VectorOf
from core.errors import WorldError
from search.answer import ANSWERS, Answer, answer_row

EVERYTHING = Table(
    "everything",
    "key",
    (
        Column("key", Text(), "Key."),
        Column("small", Integer(32), "Small."),
        Column("large", Integer(), "Large."),
        Column("number", Number(), "Number."),
        Column("vector", VectorOf(2), "Vector."),
        Column("parts", ListOf(Struct({"name": Text()})), "Parts."),
        Column("any", AnyJson(), "Anything."),
    ),
)


def test_each_type_has_its_own_in_arrow() -> None:
    assert arrow_schema(EVERYTHING) == pa.schema(
        {
            "key": pa.string(),
            "small": pa.int32(),
            "large": pa.int64(),
            "number": pa.float64(),
            "vector": pa.list_(pa.float32(), 2),
            "parts": pa.list_(pa.struct({"name": pa.string()})),
            "any": pa.string(),
        }
    )


def test_a_row_comes_back_as_it_was_written(tmp_path: Path) -> None:
    row = {
        "key": "a",
        "small": 1,
        "large": 2**40,
        "number": 0.5,
        "vector": [1.0, 2.0],
        "parts": [{"name": "x"}],
        "any": {"deep": [1, None]},
    }
    table = StoredTable(tmp_path, EVERYTHING)
    table.upsert([row])
    assert table.rows() == [row]


def test_an_answer_written_twice_is_there_once(tmp_path: Path) -> None:
    sink = StoreSink(folder_store(tmp_path), ANSWERS, "answers")
    sink.check()
    for text in ("first", "second"):
        writer = sink.open(sink.parts()[0], {"version": 1})
        writer.write([answer_row(Answer("a", text)), answer_row(Answer("b", text))])
        assert writer.snapshot() == {"version": 1}
        writer.close()
    rows = lancedb.connect(tmp_path).open_table("answers").to_arrow().to_pylist()
    assert {row["id"]: row["text"] for row in rows} == {"a": "second", "b": "second"}
    assert len(rows) == 2


def test_a_table_of_other_columns_is_refused(tmp_path: Path) -> None:
    StoreSink(folder_store(tmp_path), ANSWERS, "answers").check()
    with pytest.raises(WorldError, match="other columns"):
        StoreSink(
            folder_store(tmp_path), replace(ANSWERS, columns=ANSWERS.columns[:-2] + ANSWERS.columns[-1:]), "answers"
        ).check()


@pytest.mark.parametrize(("table", "inside"), [(posts_table(8, 8), ""), (CLUSTERS, ""), (ANSWERS, "answers")])
def test_parts_are_named_as_recovery_folders_know_them(table: Table, inside: str, tmp_path: Path) -> None:
    assert StoreSink(folder_store(tmp_path), table, "store").parts() == [str(tmp_path / inside)]

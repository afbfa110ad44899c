"""A table of the store has one row for a key, whoever else writes, and stays as small as what is in it."""

import resource
from contextlib import suppress
from pathlib import Path
from threading import Barrier, Thread

import lancedb
import orjson
import pyarrow as pa
import pytest

from connectors.store.keyed_table import KeyedTable
from core.errors import WorldError
from core.telemetry import configure_logging

SCHEMA = pa.schema([pa.field("id", pa.string()), pa.field("n", pa.int64())])
OLD = pa.table({"id": ["a", "b"], "n": [1, 2]}, schema=SCHEMA)


def ids(folder: Path) -> list[str]:
    return sorted(lancedb.connect(folder).open_table("t").to_arrow()["id"].to_pylist())


def test_two_writers_that_add_the_same_keys_at_once_do_not_double_them(tmp_path: Path) -> None:
    tables = [KeyedTable(tmp_path, "t", "id", SCHEMA) for _ in range(2)]
    for turn in range(3):
        barrier = Barrier(2)

        def write(table: KeyedTable, turn: int = turn, barrier: Barrier = barrier) -> None:
            barrier.wait(9)
            with suppress(WorldError):  # LanceDB may refuse the second one: nothing is doubled
                table.upsert([{"id": f"{turn}-{number}", "n": number} for number in range(200)])

        threads = [Thread(target=write, args=(table,)) for table in tables]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert ids(tmp_path) == sorted(f"{turn}-{number}" for turn in range(3) for number in range(200))


def test_a_write_that_the_disk_refuses_is_one_line_and_the_next_one_goes_on(tmp_path: Path) -> None:
    """Files may have no more than some bytes: as with a full disk, a part of what is written is there."""
    table = KeyedTable(tmp_path, "t", "id", SCHEMA)
    table.upsert([{"id": "before", "n": 0}])
    rows = [{"id": f"{number:0100}", "n": number} for number in range(2000)]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(WorldError, match=r"the store cannot be written: .*File too large") as caught:
            table.upsert(rows)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value)
    assert ids(tmp_path) == ["before"]
    table.upsert(rows)
    assert len(ids(tmp_path)) == 2001


def test_a_table_of_an_older_version_gets_its_key_declared(tmp_path: Path) -> None:
    lancedb.connect(tmp_path).create_table("t", OLD)
    table = KeyedTable(tmp_path, "t", "id", SCHEMA)
    table.upsert([{"id": "b", "n": 3}, {"id": "c", "n": 4}])
    assert ids(tmp_path) == ["a", "b", "c"]
    key = KeyedTable(tmp_path, "t", "id", SCHEMA).schema.field("id")
    assert not key.nullable
    assert key.metadata == {b"lance-schema:unenforced-primary-key:position": b"1"}


def test_a_value_that_its_column_cannot_hold_is_null_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("warning")
    schema = pa.schema([pa.field("id", pa.string()), pa.field("n", pa.int64()), pa.field("text", pa.string())])
    table = KeyedTable(tmp_path, "t", "id", schema)
    table.upsert(
        [{"id": "a", "n": 10**25, "text": "x"}, {"id": "b", "n": 2, "text": 7}, {"id": "c", "n": 3, "text": "z"}]
    )
    rows = {row["id"]: (row["n"], row["text"]) for row in table.rows()}
    assert rows == {"a": (None, "x"), "b": (2, None), "c": (3, "z")}
    told = capsys.readouterr().err.splitlines()
    assert [(it["id"], it["column"]) for it in map(orjson.loads, told)] == [("a", "n"), ("b", "text")]


def test_a_row_is_not_replaced_by_an_older_one(tmp_path: Path) -> None:
    lancedb.connect(tmp_path).create_table("t", pa.table({"id": ["old"]}, schema=SCHEMA.remove(1)))
    table = KeyedTable(tmp_path, "t", "id", SCHEMA.append(pa.field("text", pa.string())), newest="n")
    table.upsert([{"id": "a", "n": 3, "text": "third"}, {"id": "b", "n": 1, "text": "first"}])
    table.upsert([{"id": "old", "n": 1, "text": "now it has one"}])
    table.upsert([{"id": "a", "n": 2, "text": "second"}, {"id": "b", "n": 2, "text": "second"}])
    table.upsert([{"id": "b", "n": 3, "text": "third"}, {"id": "b", "n": 2, "text": "again"}])
    table.upsert([{"id": "a", "n": 3, "text": "third once more"}])
    found = {row["id"]: (row["n"], row["text"]) for row in table.rows()}
    assert found == {"a": (3, "third once more"), "b": (3, "third"), "old": (1, "now it has one")}

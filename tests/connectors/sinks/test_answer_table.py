"""The table of answers is written behind the flow's back, and whole at each snapshot."""

import threading
from pathlib import Path
from typing import Any

import lancedb
import pytest

from connectors.sinks.answer_table import AnswerPart, AnswerTable
from core.errors import WorldError
from search.answer import ANSWERS_SCHEMA, Answer, answer_row

Row = dict[str, Any]


class Disk:
    """Takes rows when it is let to."""

    def __init__(self) -> None:
        self.writes: list[list[Row]] = []
        self.free = threading.Event()
        self.begun = threading.Event()

    def write(self, rows: list[Row]) -> None:
        self.begun.set()
        self.free.wait()
        self.writes.append(rows)


def test_who_writes_does_not_wait_for_the_disk_but_a_snapshot_does() -> None:
    disk = Disk()
    part = AnswerPart(disk.write, 600)
    part.write_batch([{"id": "a"}])
    disk.begun.wait()
    part.write_batch([{"id": "b"}])
    part.write_batch([{"id": "c"}])
    assert disk.writes == []
    disk.free.set()
    part.snapshot()
    assert disk.writes == [[{"id": "a"}], [{"id": "b"}, {"id": "c"}]]
    part.write_batch([{"id": "d"}])
    part.snapshot()
    assert disk.writes[-1] == [{"id": "d"}]
    part.close()


def test_a_snapshot_without_rows_does_not_wait() -> None:
    part = AnswerPart(Disk().write)
    assert part.snapshot() == {"version": 1}
    part.close()


def test_what_cannot_be_written_ends_the_flow() -> None:
    def fail(_: list[Row]) -> None:
        raise WorldError("no room")

    part = AnswerPart(fail)
    part.write_batch([{"id": "a"}])
    with pytest.raises(WorldError, match="no room"):
        part.snapshot()
    with pytest.raises(WorldError, match="no room"):
        part.write_batch([{"id": "b"}])
    part.close()


def test_an_answer_written_twice_is_there_once(tmp_path: Path) -> None:
    sink = AnswerTable(tmp_path, "answers", ANSWERS_SCHEMA)
    sink.check()
    for text in ("first", "second"):
        part = sink.build_part("answers", sink.list_parts()[0], None)
        part.write_batch([answer_row(Answer("a", text)), answer_row(Answer("b", text))])
        part.snapshot()
        part.close()
    rows = lancedb.connect(tmp_path).open_table("answers").to_arrow().to_pylist()
    assert {row["id"]: row["text"] for row in rows} == {"a": "second", "b": "second"}
    assert len(rows) == 2


def test_a_table_of_other_columns_is_refused(tmp_path: Path) -> None:
    AnswerTable(tmp_path, "answers", ANSWERS_SCHEMA).check()
    with pytest.raises(WorldError, match="other columns"):
        AnswerTable(tmp_path, "answers", ANSWERS_SCHEMA.remove(0)).check()

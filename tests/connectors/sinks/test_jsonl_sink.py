"""Lines into a file, each exactly once; and what both sinks on this machine do alike."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from connectors.sinks.jsonl_sink import JsonlSink
from connectors.sinks.record_table import posts_table
from connectors.sinks.rows import json_of_row, row_of
from connectors.sinks.sink import OutMessage, Row, Sink
from connectors.store.lance_store import folder_store
from connectors.store.posts_table import PostStore
from connectors.store.store_sink import StoreSink
from core.errors import WorldError
from tests.factories import record


def sink(path: Path) -> JsonlSink:
    return JsonlSink(path, "test")


def part(path: Path, state: dict[str, Any] | None = None) -> Any:
    return sink(path).open(sink(path).parts()[0], state)


def lines(*values: bytes) -> list[OutMessage]:
    return [OutMessage(b"key", value) for value in values]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "records.jsonl"


def test_each_value_is_a_line(path: Path) -> None:
    writer = part(path)
    writer.write(lines(b"one", b"two"))
    writer.write(lines(b"three"))
    assert path.read_bytes() == b"one\ntwo\nthree\n"
    writer.close()


def test_a_file_that_was_not_begun_with_the_recovery_folder_is_never_cut(path: Path, tmp_path: Path) -> None:
    path.write_bytes(b"old\n")
    for recovery in (None, tmp_path):
        with pytest.raises(WorldError, match="did not write it: move it elsewhere"):
            JsonlSink(path, "test", recovery).open(str(path), None)
    assert path.read_bytes() == b"old\n"


def test_a_run_that_died_before_its_first_snapshot_is_cut_back(path: Path, tmp_path: Path) -> None:
    writer = JsonlSink(path, "test", tmp_path).open(str(path), None)
    writer.write(lines(b"one"))
    again = JsonlSink(path, "test", tmp_path).open(str(path), None)
    assert path.read_bytes() == b""
    writer.close()
    again.close()


def test_what_others_wrote_after_the_run_ended_is_never_cut(path: Path, tmp_path: Path) -> None:
    sink = JsonlSink(path, "test", tmp_path)
    writer = sink.open(str(path), None)
    writer.write(lines(b"one"))
    mark = writer.snapshot()
    writer.close()
    sink.open(str(path), mark).close()
    with path.open("ab") as out:
        out.write(b"mine\n")
    with pytest.raises(WorldError, match="has 5 bytes that this recovery folder did not write"):
        sink.open(str(path), mark)
    assert path.read_bytes() == b"one\nmine\n"


def test_what_came_after_the_snapshot_is_cut_off(path: Path) -> None:
    writer = part(path)
    writer.write(lines(b"one"))
    state = writer.snapshot()
    writer.write(lines(b"two"))
    writer.close()
    writer = part(path, state)
    assert path.read_bytes() == b"one\n"
    writer.write(lines(b"three"))
    assert path.read_bytes() == b"one\nthree\n"
    assert writer.snapshot() == {"version": 1, "offset": 10}
    writer.close()


def test_half_a_line_after_the_snapshot_is_cut_off(path: Path) -> None:
    writer = part(path)
    writer.write(lines(b"one"))
    state = writer.snapshot()
    writer.close()
    with path.open("ab") as file:
        file.write(b'{"glob')
    part(path, state).close()
    assert path.read_bytes() == b"one\n"


def test_a_file_that_became_shorter_was_replaced(path: Path) -> None:
    writer = part(path)
    writer.write(lines(b"one"))
    state = writer.snapshot()
    writer.close()
    path.write_bytes(b"x")
    with pytest.raises(WorldError, match="replaced"):
        part(path, state)
    assert path.read_bytes() == b"x"


def test_a_failed_write_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = part(path)
    writer._file.close()
    writer._file = Path("/dev/full").open("ab")  # noqa: SIM115
    with pytest.raises(WorldError, match="No space left"):
        writer.write(lines(b"one"))
    writer.close()  # as Bytewax does while it handles the error


def test_a_failed_sync_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    writer = part(path)
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(WorldError, match="Input/output error"):
        writer.snapshot()
    writer.close()


def test_a_check_makes_the_folder_and_keeps_the_file(path: Path) -> None:
    deeper = path.parent / "a" / "b" / "records.jsonl"
    sink(deeper).check()
    assert deeper.exists()
    deeper.write_bytes(b"one\n")
    sink(deeper).check()
    assert deeper.read_bytes() == b"one\n"


@pytest.mark.parametrize("name", [".", "file/records.jsonl"])
def test_a_path_that_cannot_be_written_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WorldError, match=r"directory|exists"):
        sink(tmp_path / name).check()


def test_a_file_that_cannot_be_opened_is_told(path: Path) -> None:
    path.mkdir()
    with pytest.raises(WorldError, match="Is a directory"):
        part(path)


def test_closing_twice_is_no_error(path: Path) -> None:
    writer = part(path)
    writer.close()
    writer.close()


# What both sinks on this machine do

AnySink = Sink[Any]
Read = Callable[[Path], list[str]]


def _lines(path: Path) -> list[str]:
    return [orjson.loads(line)["global_id"] for line in path.read_bytes().splitlines()]


def _stored(path: Path) -> list[str]:
    return [row["global_id"] for row in PostStore(path, 8, 8).rows()]


SINKS: dict[str, tuple[Callable[[Path], AnySink], Callable[[Row], Any], Read]] = {
    "file": (sink, lambda row: OutMessage(None, json_of_row(row)), _lines),
    "store": (lambda path: StoreSink(folder_store(path), posts_table(8, 8), "store"), lambda row: row, _stored),
}


@pytest.mark.parametrize("kind", SINKS)
def test_after_a_crash_at_any_point_every_record_is_there_once(kind: str, tmp_path: Path) -> None:
    make, value, read = SINKS[kind]
    ids = [f"{number}" for number in range(6)]

    def write(path: Path, state: Any, batch: list[str]) -> Any:
        built = make(path)
        (name,) = built.parts()
        writer = built.open(name, state)
        writer.write([value(row_of(record(global_id), "now")) for global_id in batch])
        state = writer.snapshot()
        writer.close()
        return state

    for snapshot in range(1, len(ids)):
        path = tmp_path / f"{kind}-{snapshot}.jsonl"
        state = write(path, None, ids[:snapshot])
        write(path, state, ids[snapshot : snapshot + 2])  # this one's snapshot is never taken
        write(path, state, ids[snapshot:])
        assert sorted(read(path)) == ids


@pytest.mark.parametrize("kind", SINKS)
def test_there_is_one_part_whatever_the_number_of_processes(kind: str, tmp_path: Path) -> None:
    make, _, _ = SINKS[kind]
    assert make(tmp_path / "out.jsonl").parts() == [str(tmp_path / "out.jsonl")]


@pytest.mark.parametrize("kind", SINKS)
def test_a_name_that_is_not_utf8_is_told(kind: str, tmp_path: Path) -> None:
    make, _, _ = SINKS[kind]
    with pytest.raises(WorldError, match="UTF-8"):
        make(tmp_path / "caf\udce9.jsonl").check()

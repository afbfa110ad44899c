"""Rows of every format, and of files that are broken."""

import bz2
import csv
import gzip
import json
import lzma
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from backports import zstd

from connectors import row_formats
from connectors.row_file import RowFile
from connectors.row_formats import FileRow
from core.errors import WorldError

ROWS: list[dict[str, Any]] = [
    {"id": f"{n}", "body": text} for n, text in enumerate(["plain", 'a "quote", a comma', "two\nlines", "é\U0001f600"])
]


def as_json(path: Path) -> None:
    path.write_text(json.dumps(ROWS))


def as_jsonl(path: Path) -> None:
    path.write_text("\n\n".join(map(json.dumps, ROWS)))


def as_csv(path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["id", "body"])
        writer.writeheader()
        writer.writerows(ROWS)


def as_parquet(path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(ROWS), path)


WRITERS: dict[str, Callable[[Path], None]] = {
    "rows.json": as_json,
    "rows.jsonl": as_jsonl,
    "rows.csv": as_csv,
    "rows.parquet": as_parquet,
}


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstd.compress,
}


def read(path: Path, content: bytes) -> list[FileRow]:
    path.write_bytes(content)
    return list(RowFile(path))


def test_a_time_that_python_has_no_form_for_spoils_no_table(tmp_path: Path) -> None:
    odd = pa.array([1_700_000_000_000_000_001, None], pa.timestamp("ns", tz="Asia/Kolkata"))
    far = pa.array([2**60, 0], pa.timestamp("us"))
    table = {"id": ["a", "b"], "odd": odd, "far": far, "within": [{"time": it} for it in (2**60, 0)]}
    table["within"] = pa.array(table["within"], pa.struct([("time", pa.timestamp("us"))]))
    table["short"] = pa.array([1, 1000], pa.duration("ns"))
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    first, second = (it.row or {} for it in RowFile(tmp_path / "a.parquet"))
    assert (first["id"], first["odd"].isoformat()) == ("a", "2023-11-15T03:43:20+05:30")
    assert first["within"] is None
    assert (second["id"], second["odd"], second["far"].year, second["within"]["time"].year) == ("b", None, 1970, 1970)


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_rows_each_time(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path / name)
    file = RowFile(tmp_path / name)
    for _ in range(2):
        assert [row.row for row in file] == ROWS
        assert file.done == file.size


@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl", "rows.csv"])
def test_a_packed_file_is_unpacked(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path / name)
    packed = tmp_path / f"{name}.gz"
    packed.write_bytes(gzip.compress((tmp_path / name).read_bytes()))
    assert [row.row for row in RowFile(packed)] == ROWS
    packed.write_bytes(packed.read_bytes()[:-20])
    with pytest.raises(WorldError, match="cannot be read to its end"):
        list(RowFile(packed))


@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl", "rows.csv"])
def test_a_byte_order_mark_is_no_part_of_the_first_row(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    WRITERS[name](path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert [row.row for row in RowFile(path)] == ROWS


def test_a_broken_line_is_told_with_its_number_and_hurts_no_other(tmp_path: Path) -> None:
    found = read(tmp_path / "rows.jsonl", b'{"a": 1}\n{"a": \n[1]\n\xff\n{"a": 2}')
    assert [row.number for row in found] == [1, 2, 3, 4, 5]
    assert [row.row for row in found] == [{"a": 1}, None, None, None, {"a": 2}]
    assert "not JSON" in found[1].reason
    assert found[2].reason == "expected an object of columns"
    assert found[3].raw == b"\xff\n"


def test_an_endless_line_is_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_formats, "_MAX_LINE", 100)
    found = read(tmp_path / "rows.jsonl", b'{"a": "' + b"x" * 1000 + b'"}\n{"a": 2}\n')
    assert [row.row for row in found] == [None, {"a": 2}]
    assert "longer than 100 bytes" in found[0].reason


def test_a_row_of_too_many_cells_or_other_bytes_is_told(tmp_path: Path) -> None:
    found = read(tmp_path / "rows.csv", b"\xef\xbb\xbfa,b\n1,2\n1,2,3\n\n\xff,2\n3,\n")
    assert [row.row for row in found] == [{"a": "1", "b": "2"}, None, None, {"a": "3", "b": None}]
    assert found[1].reason == "expected 2 cells, found 3"
    assert (found[2].reason, found[2].raw) == ("not UTF-8", b"\xff,2")
    assert [row.number for row in found] == [2, 3, 5, 6]


def test_an_element_that_is_no_object_is_told(tmp_path: Path) -> None:
    found = read(tmp_path / "rows.json", b'[{"a": 1.5, "b": [0.5, {"c": 1.25}]}, 7, null, {"a": 2}]')
    assert [row.row for row in found] == [{"a": 1.5, "b": [0.5, {"c": 1.25}]}, None, {"a": 2}]
    assert [(row.number, row.raw, row.reason) for row in found if row.row is None] == [
        (2, b"[7,null]", "expected an object of columns")
    ]


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.json", b'[{"a": 1}, {"a"'), ("a.json", b"\x00"), ("a.parquet", b"PAR1 no"), ("a.json.gz", b"no gzip")],
)
def test_a_file_that_breaks_off_is_one_clear_error(name: str, content: bytes, tmp_path: Path) -> None:
    with pytest.raises(WorldError, match=f"{name} cannot be read to its end"):
        read(tmp_path / name, content)


def test_a_file_that_is_not_there_or_of_no_known_form_is_told(tmp_path: Path) -> None:
    with pytest.raises(WorldError, match="does not exist"):
        RowFile(tmp_path / "rows.json")
    for content in (b"<?xml?><a,b/>", b"words", b"\x89PNG"):
        with pytest.raises(WorldError, match="expected JSON, or a table"):
            read(tmp_path / "rows", content)


def test_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    for name, content in {"a.jsonl": b"", "b.csv": b"", "c.json": b"[]"}.items():
        assert read(tmp_path / name, content) == []


DEEP = b"[" * 5000 + b"]" * 5000
DIGITS = b"7" * 5000


@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl"])
@pytest.mark.parametrize("bad", [DEEP, DIGITS, b"{}", b"NaN", b'"\\ud800"'])
def test_no_value_of_a_column_spoils_another_row(name: str, bad: bytes, tmp_path: Path) -> None:
    rows = [b'{"a": 1}', b'{"a": %b}' % bad, bad, b'{"a": 2}']
    content = b"[" + b",".join(rows) + b"]" if name == "rows.json" else b"\n".join(rows)
    found = read(tmp_path / name, content)
    assert [found[0].row, found[-1].row] == [{"a": 1}, {"a": 2}]
    assert len(found) == 4
    for row in found:
        assert row.row is not None or row.reason


@pytest.mark.parametrize("name", ["rows", "rows.txt", "rows.json", "RS_2024-01"])
@pytest.mark.parametrize("content", [b'{"a": 1}\n{"a": 2}\n', b'[\n{"a": 1},\n{"a": 2}]', b'[{"a": 1},{"a": 2}]\n'])
def test_where_a_name_says_nothing_the_beginning_tells_the_form(name: str, content: bytes, tmp_path: Path) -> None:
    assert [row.row for row in read(tmp_path / name, content)] == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize(
    "content",
    ["a;b\n1;x,y\n", "a\tb\r\n1\tx,y\r\n", 'sep=;\na;b\n1;"x,y"\n', "a|b\n1|x,y", 'a,b\n1,"x,y"\n', 'a,b\n1,"x,y",,\n'],
)
def test_a_table_says_itself_what_stands_between_cells(content: str, tmp_path: Path) -> None:
    assert [row.row for row in read(tmp_path / "rows.csv", content.encode())] == [{"a": "1", "b": "x,y"}]


def test_names_of_columns_are_distinct(tmp_path: Path) -> None:
    assert read(tmp_path / "rows.csv", b",a, a \n0,1,2\n")[0].row == {"column_1": "0", "a": "1", "a_3": "2"}


@pytest.mark.parametrize(
    "encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]
)
@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl", "rows.csv"])
def test_every_unicode_encoding_is_read_with_or_without_a_mark(name: str, encoding: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path / name)
    text = (tmp_path / name).read_bytes().decode()
    assert [row.row for row in read(tmp_path / name, text.encode(encoding))] == ROWS


@pytest.mark.parametrize(("ending", "pack"), PACKERS.items())
def test_every_packing_is_read_while_it_is_unpacked(
    ending: str, pack: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    as_csv(tmp_path / "rows.csv")
    plain = (tmp_path / "rows.csv").read_bytes()
    path = tmp_path / f"rows.csv{ending}"
    assert [row.row for row in read(path, pack(plain))] == ROWS
    half = plain.index(b"plain")
    assert [row.row for row in read(path, pack(plain[:half]) + pack(plain[half:]))] == ROWS
    with pytest.raises(WorldError, match="cannot be read to its end"):
        read(path, pack(plain)[:-6])


def test_a_packing_with_a_long_window_is_read(tmp_path: Path) -> None:
    options = {zstd.CompressionParameter.window_log: 28, zstd.CompressionParameter.enable_long_distance_matching: 1}
    data = b"".join(b'{"a": "%d"}\n' % number for number in range(200))
    compressor = zstd.ZstdCompressor(options=options)
    packed = compressor.compress(data) + compressor.flush()  # a frame that does not say how long it is
    assert len(read(tmp_path / "RS_2024-01.zst", packed)) == 200


@pytest.mark.parametrize(
    ("name", "begin", "end"),
    [("b.json", b'[{"a": "', b'"}, {"a": 2}]'), ("b.jsonl", b'{"a": "', b'"}\n{"a": 2}'), ("b.csv", b"a\n", b"\n2\n")],
)
def test_a_small_packed_file_of_one_huge_text_is_read_in_bounded_memory(
    name: str, begin: bytes, end: bytes, tmp_path: Path
) -> None:
    packed = tmp_path / f"{name}.gz"
    with gzip.open(packed, "wb", compresslevel=1) as file:
        file.write(begin)
        for _ in range(64):
            file.write(b"x" * 2**20)
        file.write(end)
    tracemalloc.start()
    found = list(RowFile(packed))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [row.row for row in found] in ([None, {"a": 2}], [None, {"a": "2"}])
    assert peak < 16 * 2**20


def test_neighbours_of_an_array_that_hold_no_object_are_one_row(tmp_path: Path) -> None:
    found = read(tmp_path / "odd.json", b'[1, 2, "x", {"id": "a"}, null, {"id": "b"}, [3], 4]')
    assert [(row.number, row.row and row.row["id"]) for row in found] == [
        (1, None),
        (4, "a"),
        (5, None),
        (6, "b"),
        (7, None),
    ]
    assert [row.raw for row in found if row.row is None] == [b'[1,2,"x"]', b"null", b"[[3],4]"]


def test_very_many_neighbours_that_hold_no_object_are_a_few_rows(tmp_path: Path) -> None:
    found = read(tmp_path / "odd.json", b"[" + b"1," * 100_000 + b'{"id": "a"}]')
    assert len(found) < 10
    assert found[-1].row == {"id": "a"}
    assert found[-1].number == 100_001

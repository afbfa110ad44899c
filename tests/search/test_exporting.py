"""What a stranger wrote is no formula in a spreadsheet that opens an export; numbers stay numbers."""

import csv
from pathlib import Path

import pytest

from search.exporting import write_export

CELLS = [
    ("=1+1", "'=1+1"),
    ("+1", "'+1"),
    ("-cmd|' /C calc'!A0", "'-cmd|' /C calc'!A0"),
    ("@SUM(A1)", "'@SUM(A1)"),
    ("\t=1", "'\t=1"),
    ("\uff1d1", "'\uff1d1"),
    ("a=1", "a=1"),
    (-1.5, "-1.5"),
    (-2, "-2"),
    (None, ""),
    ([1, 2], "[1,2]"),
]


@pytest.mark.parametrize(("value", "cell"), CELLS)
def test_a_text_that_would_be_computed_gets_an_apostrophe(tmp_path: Path, value: object, cell: str) -> None:
    write_export([{"a": value, "b": 1}], tmp_path / "a.csv", "csv", None, by_day=False, replace=True)
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [["a", "b"], [cell, "1"]]

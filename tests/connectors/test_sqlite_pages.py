"""A name is found in free pages of SQLite wherever it was split."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from connectors.remnants import LookedFor

NAME = "forgettable0001-a"
PAGE = 512


@pytest.mark.parametrize("is_free", [False, True])
@pytest.mark.parametrize("is_wide", [False, True], ids=["first part", "overflow pages"])
def test_a_name_that_is_split_over_two_pages_is_found(tmp_path: Path, is_free: bool, is_wide: bool) -> None:
    names, other = LookedFor((NAME,)), LookedFor(("forgettable0002-a",))
    file = tmp_path / "a.sqlite3"
    split = 0
    for before in range(600 if is_wide else 0, 1120 if is_wide else 520):
        file.unlink(missing_ok=True)
        with closing(sqlite3.connect(file)) as database, database:
            database.execute(f"PRAGMA page_size = {PAGE}")
            database.execute("PRAGMA synchronous = OFF")
            database.execute("PRAGMA secure_delete = OFF")
            database.execute("CREATE TABLE a (value BLOB)")
            database.execute("INSERT INTO a VALUES (?)", (b"z" * 2000,))
            database.execute("INSERT INTO a VALUES (?)", (b"x" * before + NAME.encode() + b"y" * 2000,))
            if is_free:
                database.commit()
                database.execute("DELETE FROM a WHERE rowid = 1")  # SQLite overwrites the first page that it frees
                database.execute("DELETE FROM a WHERE rowid = 2")
        split += NAME.encode() not in file.read_bytes()
        assert names.in_file(file), before
        assert not other.in_file(file)
    assert split > len(NAME) - 2

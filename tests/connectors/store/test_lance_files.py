"""All rows of one file of LanceDB are read, also deleted ones and those of an index."""

from pathlib import Path

import pytest

from connectors.store.lance_files import UnknownFormatError, opened_file
from connectors.store.posts_table import TABLE, PostRows
from connectors.store.table_maintenance import index_keys
from tests.connectors.store.test_removed_posts import row
from tests.factories import POSTS, make_removal


def values(folder: Path, column: str) -> list[list[str]]:
    found = []
    for file in sorted(folder.rglob("*.lance")):
        with opened_file(file) as table:
            if table is not None and column in table.schema.names:
                found.append(table.search().select([column]).to_arrow()[column].to_pylist())
    return found


def test_deleted_rows_are_read_with_all_their_columns(tmp_path: Path) -> None:
    store = PostRows(tmp_path, POSTS)
    store.upsert([row(f"{it}-a") for it in range(20)])
    store.remove([make_removal(global_id="7-a")])
    data = tmp_path / f"{TABLE}.lance" / "data"
    assert values(data, "global_id") == [[f"{it}-a" for it in range(20)]]
    (file,) = data.glob("*.lance")
    with opened_file(file) as table:
        read = table.search().to_arrow().to_pylist()[7]
    assert (read["global_id"], read["post_id"], read["url"]) == ("7-a", "7-a", "https://x/7-a.png")
    assert read["entities"] == [{"text": "Paris", "label": "GPE", "start": 6, "end": 11}]
    assert read["models"]["cluster"] == "a cluster model"


def test_values_of_an_index_are_read(tmp_path: Path) -> None:
    store = PostRows(tmp_path, POSTS)
    store.upsert([row(f"{it}-a") for it in range(20)])
    index_keys(store._table._table, "global_id")
    store.remove([make_removal(global_id="7-a")])
    assert any("7-a" in it for it in values(tmp_path / f"{TABLE}.lance" / "_indices", "values"))


@pytest.mark.parametrize("data", [b"", b"short", b"x" * 100, b"\xff" * 36 + b"LANC"])
def test_other_files_are_of_an_unknown_format(tmp_path: Path, data: bytes) -> None:
    (file := tmp_path / "a.lance").write_bytes(data)
    with pytest.raises((UnknownFormatError, OSError)), opened_file(file):
        pass

"""The analytics store: what is written twice is there once, and nothing hurts it."""

import fcntl
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
import pytest

from connectors.sinks.record_table import posts_table
from connectors.sinks.rows import row_of
from connectors.sinks.sink import Row
from connectors.store import keyed_table as tables
from connectors.store.lance_store import folder_store
from connectors.store.posts_table import TABLE, PostStore, posts_schema
from connectors.store.store_sink import StoreSink
from core.errors import WorldError
from core.records import Failure, Reading, Record
from models.stages import stage_names
from tests.factories import LINE, post, record, vector

SIDES = stage_names()
HOSTILE = [
    "it's",
    'a "quote"',
    "'); DROP TABLE posts; --",
    "100%_",
    "\\",
    "a\nb\r\n",
    "\U0001f600\u200d\u202e",
    "nul\x00nul",
    "é" * 200,
    "NULL",
    " ",
]


def row(global_id: str = "1-reddit", **answers: Any) -> Row:
    return row_of(record(global_id, **answers), "now")


def by_id(of: PostStore) -> dict[str, Row]:
    rows = of.rows()
    assert len(rows) == of.count() == len({it["global_id"] for it in rows})
    return {it["global_id"]: it for it in rows}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def posts(folder: Path) -> PostStore:
    return PostStore(folder, 8, 8)


def test_a_row_comes_back_as_it_was_written(posts: PostStore) -> None:
    written = row()
    posts.upsert([written])
    (found,) = posts.rows()
    np.testing.assert_array_equal(found.pop("embeddings"), written.pop("embeddings"))
    np.testing.assert_array_equal(found.pop("text_embedding"), written.pop("text_embedding"))
    box = [list(corner) for corner in LINE.box]
    assert found.pop("lines") == [{"text": "Hello Paris", "confidence": 0.75, "box": box}]
    assert found.pop("current_cluster") == written["cluster"]
    assert found == {name: value for name, value in written.items() if name != "lines"}


def test_a_post_that_is_written_twice_is_there_once(posts: PostStore) -> None:
    posts.upsert([row("a"), row("b")])
    posts.upsert([row("b", text=Reading())])
    rows = by_id(posts)
    assert rows.keys() == {"a", "b"}
    assert (rows["a"]["text"], rows["b"]["text"]) == ("hello paris. ", "")


def test_of_two_rows_of_one_post_in_a_batch_the_last_one_stays(posts: PostStore) -> None:
    posts.upsert([row("a"), row("a", text=Reading())])
    assert by_id(posts)["a"]["text"] == ""


def test_a_store_that_is_opened_again_has_its_rows(folder: Path) -> None:
    PostStore(folder, 8, 8).upsert([row("a")])
    PostStore(folder, 8, 8).upsert([row("b")])
    assert by_id(PostStore(folder, 8, 8)).keys() == {"a", "b"}


def test_what_failed_or_is_missing_is_null(posts: PostStore) -> None:
    failed = Failure("fetch", "OSError", "no")
    posts.upsert([row("a", **dict.fromkeys(SIDES, failed)), row_of(Record(post("b"), {}, SIDES), "now"), row("c")])
    rows = by_id(posts)
    for global_id in ("a", "b"):
        for column in ("embeddings", "text_embedding", "text", "lines", "entities", "sentiments", "cluster_distance"):
            assert rows[global_id][column] is None
    assert rows["a"]["failures"] == [{"stage": "fetch", "exception": "OSError", "reason": "no"}]
    assert rows["b"]["missing"] == list(SIDES)
    np.testing.assert_array_equal(rows["c"]["embeddings"], vector())


def test_a_row_may_become_null_and_whole_again(posts: PostStore) -> None:
    for answers in ({}, {"embedding": None}, {}):
        posts.upsert([row("a", **answers)])
    np.testing.assert_array_equal(by_id(posts)["a"]["embeddings"], vector())


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_is_too_strange(posts: PostStore, text: str) -> None:
    strange = post(text, url=text, author=text, description=text, extra={text: [text]})
    for _ in range(2):
        posts.upsert([row_of(Record(strange, {}), "now"), row("another")])
    rows = by_id(posts)
    assert rows.keys() == {text, "another"}
    assert rows[text]["description"] == rows[text]["author"] == text
    assert rows[text]["extra"] == {text: [text]}


def test_the_vectors_can_be_searched(posts: PostStore, folder: Path) -> None:
    vectors = np.eye(8, dtype=np.float32)
    posts.upsert([row(f"{number}", embedding=vectors[number]) for number in range(8)] + [row("none", embedding=None)])
    found = lancedb.connect(folder).open_table(TABLE).search(vectors[5], "embeddings").limit(1).to_list()
    assert [it["global_id"] for it in found] == ["5"]


def test_compaction_keeps_every_row(posts: PostStore, folder: Path) -> None:
    for number in range(12):
        posts.upsert([row(f"{number}"), row("again")])
    before = by_id(posts).keys()
    posts.compact()
    posts.upsert([row("after"), row("again")])
    assert by_id(posts).keys() == before | {"after"}
    posts.compact()
    assert by_id(PostStore(folder, 8, 8)).keys() == before | {"after"}


def test_many_writes_do_not_leave_many_fragments(
    posts: PostStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_LEAST_WRITES", 5)
    for number in range(20):
        posts.upsert([row(f"{number}")])
    statistics: Any = lancedb.connect(folder).open_table(TABLE).stats()
    assert statistics["fragment_stats"]["num_fragments"] < 5
    assert posts.count() == 20


def test_fragments_of_earlier_processes_count_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_LEAST_WRITES", 5)
    for number in range(12):
        PostStore(folder, 8, 8).upsert([row_of(record(f"{number}"), "")])
    statistics: Any = lancedb.connect(folder).open_table(TABLE).stats()
    assert statistics["fragment_stats"]["num_fragments"] <= 5


@pytest.mark.parametrize(
    ("dimensions", "told"), [((16, 8), "embeddings of 8 numbers .* 16"), ((8, 4), "text_embedding of 8 numbers .* 4")]
)
def test_a_store_of_other_models_is_refused(folder: Path, dimensions: tuple[int, int], told: str) -> None:
    PostStore(folder, 8, 8)
    with pytest.raises(WorldError, match=told):
        PostStore(folder, *dimensions)


def test_a_table_of_other_columns_is_refused(folder: Path) -> None:
    lancedb.connect(folder).create_table(TABLE, schema=pa.schema({"name": pa.string()}))
    with pytest.raises(WorldError, match="other columns"):
        PostStore(folder, 8, 8)


def test_while_another_process_makes_it_it_is_waited_for(folder: Path) -> None:
    folder.mkdir()
    another = os.open(folder, os.O_RDONLY)
    fcntl.flock(another, fcntl.LOCK_EX)
    with ThreadPoolExecutor(1) as pool:
        opened = pool.submit(PostStore, folder, 8, 8)
        with pytest.raises(TimeoutError):
            opened.result(0.2)
        lancedb.connect(folder).create_table(TABLE, schema=posts_schema(8, 8))
        os.close(another)
        opened.result(20).upsert([row("a")])
    assert by_id(PostStore(folder, 8, 8)).keys() == {"a"}


@pytest.mark.parametrize("inside", [False, True])
def test_a_folder_that_cannot_be_is_told(tmp_path: Path, inside: bool) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"not a folder")
    with pytest.raises(WorldError, match="cannot be opened as a store"):
        StoreSink(folder_store(file / "store" if inside else file), posts_table(8, 8), "store").check()


def test_a_store_that_is_gone_fails_the_write(posts: PostStore, folder: Path) -> None:
    posts.upsert([row("a")])
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()
    folder.write_bytes(b"in the way")
    with pytest.raises(WorldError, match="the store cannot be written"):
        posts.upsert([row("b")])


@pytest.mark.parametrize("error", [OSError("disk full"), RuntimeError("lance error: no space\nat line 7")])
def test_a_compaction_that_fails_is_told_in_a_line(
    posts: PostStore, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(posts._table._table, "optimize", fail)
    with pytest.raises(WorldError, match=r"the store cannot be written: [^\n]*$"):
        posts.compact()


def test_the_part_does_not_depend_on_the_way_a_folder_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    by_name, by_path = (StoreSink(folder_store(it), posts_table(8, 8), "store") for it in (Path("store"), folder))
    assert by_name.parts() == by_path.parts() == [os.fspath(folder)]

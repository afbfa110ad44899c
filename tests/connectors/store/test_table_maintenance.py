"""What was deleted from a table is in no file of it, once that was erased; answers that quoted it are gone too."""

import os
from collections.abc import Callable
from pathlib import Path

import lancedb
import pytest

from connectors.remnants import LookedFor
from connectors.sinks.record_table import SEARCHED
from connectors.store.answer_rows import AnswerRows
from connectors.store.lance_tables import LanceTables
from connectors.store.posts_table import TABLE, PostRows
from connectors.store.quoting_answers import compact_answers, drop_quoting
from connectors.store.store_maintenance import compact_store, forget_in
from connectors.store.stored_table import StoredTable
from connectors.store.table_maintenance import compact_files, erase_deleted, has_index, holds_deleted, index_keys
from connectors.store.table_remnants import in_tables
from search.answer import ANSWERS as ANSWERS_TABLE
from search.answer import Answer, answer_row
from search.corpus import Hit
from tests.connectors.store.test_removed_posts import ids, row
from tests.factories import POSTS, make_removal

NAME = "forgettable0003-a"
CAPTION = "a caption that is nowhere else"
LOOKED_FOR = LookedFor((NAME, CAPTION))


def store_of(folder: Path) -> PostRows:
    table = PostRows(folder, POSTS)
    table.upsert([row(f"kept{number:04d}-a") for number in range(40)])
    table.upsert([row(NAME, description=CAPTION), row("copy-a")])
    lancedb.connect(folder).open_table(TABLE).update(where="global_id = 'copy-a'", values={"duplicate_of": NAME})
    table.compact()
    return table


_ERASE = pytest.mark.parametrize(
    "erase",
    [lambda folder, table: table.compact(erase=True), lambda folder, table: compact_store(folder)],
    ids=["by its writer", "by a command"],
)


@_ERASE
def test_what_was_deleted_is_in_no_file(tmp_path: Path, erase: Callable[[Path, PostRows], None]) -> None:
    table = store_of(tmp_path)
    assert [it.why for it in in_tables(tmp_path, LOOKED_FOR)] == ["a row has it"]
    table.remove([make_removal(global_id=NAME)])
    assert {it.why for it in in_tables(tmp_path, LOOKED_FOR)} == {"an older version has a row of it"}
    erase(tmp_path, table)
    assert list(in_tables(tmp_path, LOOKED_FOR)) == []
    there = lancedb.connect(tmp_path).open_table(TABLE)
    assert not holds_deleted(there)
    assert all(has_index(there, it) for it in ("global_id", *SEARCHED))
    assert len(ids(tmp_path)) == 41


@_ERASE
@pytest.mark.parametrize("name", [f"{'0' * 50}.lance", ".tmpftDXmI"], ids=["whole", "a draft"])
def test_what_a_write_left_that_was_killed_is_in_no_file(
    tmp_path: Path, erase: Callable[[Path, PostRows], None], name: str
) -> None:
    table = store_of(tmp_path)
    data = sorted((tmp_path / f"{TABLE}.lance" / "data").glob("*.lance"))
    data[0].with_name(name).write_bytes(data[0].read_bytes())  # which no version has
    table.remove([make_removal(global_id=NAME)])
    erase(tmp_path, table)
    assert list(in_tables(tmp_path, LOOKED_FOR)) == []
    assert len(ids(tmp_path)) == 41


def test_to_put_a_table_together_leaves_in_files_what_to_erase_it_takes_out(tmp_path: Path) -> None:
    rows = [{"name": f"name{number:04d}", "number": number} for number in range(500)]
    table = lancedb.connect(tmp_path).create_table("names", rows)
    index_keys(table, "name")
    table.delete("number IN (3, 499)")
    compact_files(table, "name")
    assert holds_deleted(table)
    erase_deleted(table)
    compact_files(table, "name")
    assert not holds_deleted(table)
    assert table.to_arrow().column("number").to_pylist() == [it for it in range(500) if it not in (3, 499)]


def test_where_no_flow_runs_the_table_is_written_by_the_command(tmp_path: Path) -> None:
    store_of(tmp_path)
    assert forget_in(tmp_path, [make_removal(global_id=NAME)]) == "1 rows deleted"
    assert forget_in(tmp_path, [make_removal(global_id=NAME)]) == "0 rows deleted"
    compact_store(tmp_path)
    assert list(in_tables(tmp_path, LOOKED_FOR)) == []
    assert len(ids(tmp_path)) == 41


def test_answers_that_quote_it_go_and_others_stay(tmp_path: Path) -> None:
    answers = StoredTable(tmp_path, ANSWERS_TABLE)
    hits = {"first": [NAME, "kept-a"], "second": ["kept-a"], "third": []}
    for name, quoted in hits.items():
        answers.upsert([answer_row(Answer(name, hits=tuple(Hit(it, CAPTION, 0.5, 0.5, {}) for it in quoted)))])
    drop_quoting(LanceTables(tmp_path), {NAME})
    there = lancedb.connect(tmp_path).open_table(ANSWERS_TABLE.name).to_arrow()
    assert set(there.column("id").to_pylist()) == {"second", "third"}
    compact_answers(LanceTables(tmp_path))
    assert not list(in_tables(tmp_path, LookedFor((NAME,))))


def test_drafts_of_answers_go_once_nobody_writes_them(tmp_path: Path) -> None:
    StoredTable(tmp_path, ANSWERS_TABLE).upsert([answer_row(Answer("a question"))])
    (data,) = (tmp_path / f"{ANSWERS_TABLE.name}.lance" / "data").glob("*.lance")
    left, written = data.with_name(".tmpleft"), data.with_name(".tmpwritten")
    for draft in (left, written):
        draft.write_text(NAME)
    os.utime(left, (0, 0))
    compact_answers(LanceTables.at(tmp_path))
    assert not left.exists()
    assert written.exists()


def test_an_answer_that_comes_after_a_delete_of_what_it_quotes_does_not_stay(tmp_path: Path) -> None:
    table = store_of(tmp_path)
    table.upsert([row("hidden-a", author="bob")])
    table.remove([make_removal(global_id=NAME), make_removal(author="bob", source="a", hidden=True)])
    answers = AnswerRows(LanceTables(tmp_path), ANSWERS_TABLE)
    quoted = {"late": NAME, "good": "kept0001-a", "of a hidden one": "hidden-a", "of another corpus": "sentence"}
    answers.upsert(
        [
            answer_row(
                Answer(
                    it,
                    corpus="sentences" if "corpus" in it else TABLE,
                    hits=(Hit(name, CAPTION, 0.5, 0.5, {}), Hit("kept0002-a", "kept", 0.5, 0.5, {})),
                )
            )
            for it, name in quoted.items()
        ]
    )
    there = lancedb.connect(tmp_path).open_table(ANSWERS_TABLE.name).to_arrow()
    assert set(there.column("id").to_pylist()) == {"good", "of another corpus"}

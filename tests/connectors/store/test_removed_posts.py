"""Rows of what was taken back go, those of hidden accounts come back, and no other row is touched."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lancedb
import pytest

from connectors.sinks.record_table import HIDDEN
from connectors.sinks.rows import row_of
from connectors.store.answer_rows import AnswerRows
from connectors.store.cluster_ids import begin, highest
from connectors.store.keyed_table import KeyedTable
from connectors.store.lance_tables import LanceTables
from connectors.store.posts_table import TABLE, PostRows
from connectors.store.store_maintenance import compact_store, facts_of
from core.records import Cluster, ClusterEvent, Record, Removal
from search.answer import ANSWERS as ANSWER_TABLE
from search.answer import Answer, answer_row
from search.corpus import Corpus, Hit
from tests.connectors.store.test_current_cluster import merge
from tests.factories import ANSWERS, POSTS, make_removal, post, sides

TIME = datetime(2026, 7, 4, 12, tzinfo=UTC)


def row(global_id: str, cluster: int = 0, revision: int = 1, **fields: Any) -> dict[str, Any]:
    made = post(global_id, **{"url": f"https://x/{global_id}.png", "author": "ann", "source": "a", **fields})
    answers = sides(global_id, **{**ANSWERS, "cluster": Cluster(cluster, 0.1)})
    return row_of(Record(made, answers, revision=revision), "")


def ids(folder: Path, table: str = TABLE) -> set[str]:
    there = lancedb.connect(folder).open_table(table).to_arrow().column("global_id").to_pylist()
    assert len(there) == len(set(there))
    return set(there)


ROWS = [
    row("1-a"),
    row("2_1-a", post_id="2-a"),
    row("2_2-a", post_id="2-a"),
    row("it's-b", author="bob"),
    row("5-b", source="b"),
    row("new-a", created_time="2026-07-04T13:00:00Z"),
]
ALL = {it["global_id"] for it in ROWS}


@pytest.mark.parametrize(
    ("removal", "expected"),
    [
        (make_removal(global_id="1-a"), {"1-a"}),
        (make_removal(global_id="2_1-a"), {"2_1-a"}),
        (make_removal(global_id="2-a"), set()),
        (make_removal(post_id="2-a"), {"2_1-a", "2_2-a"}),
        (make_removal(post_id="2-a", kept=("2_2-a",)), {"2_1-a"}),
        (make_removal(global_id="2-a", post_id="2-a"), {"2_1-a", "2_2-a"}),
        (make_removal(global_id="it's-b"), {"it's-b"}),
        (make_removal(url="https://x/1-a.png"), {"1-a"}),
        (make_removal(author="ann", source="a", time=TIME), {"1-a", "2_1-a", "2_2-a"}),
        (make_removal(author="ann", source="b"), {"5-b"}),
        (make_removal(global_id="new-a", time=TIME), set()),
        (make_removal(global_id="unknown' OR 1 = 1 --"), set()),
    ],
)
def test_a_removal_takes_what_it_names_before_and_after_it_came(
    tmp_path: Path, removal: Removal, expected: set[str]
) -> None:
    before, after = PostRows(tmp_path / "before", POSTS), PostRows(tmp_path / "after", POSTS)
    before.upsert(ROWS)
    before.remove([removal])
    assert ids(tmp_path / "before") == ALL - expected
    before.upsert(ROWS)
    before.remove([removal])
    after.remove([removal])
    after = PostRows(tmp_path / "after", POSTS, after.mark())  # also after a restart
    after.upsert(ROWS)
    assert ids(tmp_path / "after") == ALL - expected


@pytest.mark.parametrize(
    "removal",
    [make_removal(post_id="2-a"), make_removal(author="ann", source="a", time=TIME), make_removal(global_id="1-a")],
)
def test_what_an_index_finds_is_what_is_found_without_one(tmp_path: Path, removal: Removal) -> None:
    tables = [PostRows(tmp_path / name, POSTS) for name in ("plain", "indexed")]
    for table in tables:
        table.upsert(ROWS[:3])
        if table is tables[1]:
            table.compact()
        table.upsert(ROWS[3:])  # the index does not know these yet
        table.remove([removal])
    assert ids(tmp_path / "plain") == ids(tmp_path / "indexed") != ALL
    indexed = lancedb.connect(tmp_path / "indexed").open_table(TABLE).list_indices()
    assert {"global_id", "post_id", "author"} <= {column for it in indexed for column in it.columns}


def test_the_cluster_of_a_deleted_post_is_never_given_again(tmp_path: Path) -> None:
    table = PostRows(tmp_path, POSTS)
    table.upsert([row("1-a", 3), row("2-a", 9), row("3-a", 7)])
    table.remove([make_removal(global_id="2-a"), make_removal(global_id="3-a")])
    assert highest(tmp_path) == 9
    table.remove([make_removal(global_id="1-a")])
    assert highest(tmp_path) == 9
    assert begin(tmp_path, "another run", goes_on=False, accept=lambda _: None) == 9


def test_rows_of_an_earlier_version_go_too(tmp_path: Path) -> None:
    PostRows(tmp_path, POSTS).upsert([row("1_2-a", post_id="1-a"), row("1-a"), row("10-a")])
    lancedb.connect(tmp_path).open_table(TABLE).update(values={"post_id": None})
    PostRows(tmp_path, POSTS).remove([make_removal(post_id="1-a")])
    assert ids(tmp_path) == {"10-a"}


def test_a_hidden_account_comes_back_with_its_posts_as_of_now(tmp_path: Path) -> None:
    table = PostRows(tmp_path, POSTS)
    table.upsert([row("1-a", 3), row("2-a", 5, author="bob")])
    corpus = Corpus.open(tmp_path, TABLE)
    table.remove([make_removal(author="ann", source="a", hidden=True, time=TIME)])
    table.remove([make_removal(author="ann", source="a", hidden=True, time=TIME)])
    table.apply_events([ClusterEvent("birth", 3), merge(3, 1)])
    table = PostRows(tmp_path, POSTS, table.mark())
    table.upsert([row("3-a", 4), row("1-a", 3, revision=2)])
    corpus.refresh()
    assert corpus.count() == 1
    assert ids(tmp_path) == {"2-a"}
    assert ids(tmp_path, HIDDEN) == {"1-a", "3-a"}
    assert highest(tmp_path) == 5
    table.remove([make_removal(author="ann", source="a", hidden=False, time=TIME.replace(hour=11))])  # older news
    assert ids(tmp_path) == {"2-a"}
    table.remove([make_removal(author="ann", source="a", hidden=False, time=TIME.replace(hour=13))])
    assert ids(tmp_path) == {"1-a", "2-a", "3-a"}
    assert ids(tmp_path, HIDDEN) == set()
    now = {it["global_id"]: (it["current_cluster"], it["revision"]) for it in table.rows()}
    assert now == {"1-a": (1, 2), "2-a": (5, 1), "3-a": (4, 1)}
    corpus.refresh()
    assert corpus.count() == 3


def test_what_is_deleted_while_it_is_hidden_does_not_come_back(tmp_path: Path) -> None:
    table = PostRows(tmp_path, POSTS)
    table.upsert([row("1-a"), row("2-a")])
    account = {"author": "ann", "source": "a"}
    table.remove(
        [make_removal(**account, hidden=True), make_removal(global_id="1-a"), make_removal(**account, hidden=False)]
    )
    assert ids(tmp_path) == {"2-a"}


def test_who_dies_between_two_tables_finds_each_row_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = PostRows(tmp_path, POSTS)
    table.upsert([row("1-a")])
    hide = make_removal(author="ann", source="a", hidden=True)
    mark = table.mark()

    def dies(self: Any, where: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("connectors.store.keyed_table.KeyedTable.delete_where", dies)
        with pytest.raises(KeyboardInterrupt):
            table.remove([hide])
    table = PostRows(tmp_path, POSTS, mark)
    table.remove([hide])
    assert (ids(tmp_path), ids(tmp_path, HIDDEN)) == (set(), {"1-a"})


def test_hidden_rows_are_looked_at_and_put_together_with_the_others(tmp_path: Path) -> None:
    table = PostRows(tmp_path, POSTS)
    table.upsert([row("1-a")])
    table.remove([make_removal(author="ann", source="a", hidden=True)])
    table.compact()
    assert {it.table: it.rows for it in facts_of(tmp_path)} == {TABLE: 0, HIDDEN: 1}
    assert "files" in compact_store(tmp_path)


def answer(tables: LanceTables, number: str, *quoted: str) -> None:
    hits = tuple(Hit(it, "words", 0.5, 0.5, {}) for it in quoted)
    AnswerRows(tables, ANSWER_TABLE).upsert([answer_row(Answer(number, corpus=TABLE, hits=hits))])


def answered(tables: LanceTables) -> list[str]:
    return sorted(tables.opened(ANSWER_TABLE.name).to_arrow().column("id").to_pylist())


def test_answers_that_quote_a_hidden_post_go(tmp_path: Path) -> None:
    table, tables = PostRows(tmp_path, POSTS), LanceTables(tmp_path)
    table.upsert([row("1-a"), row("2-a", author="bob")])
    answer(tables, "one", "1-a", "2-a")
    answer(tables, "two", "2-a")
    table.remove([make_removal(author="ann", source="a", hidden=True)])
    assert answered(tables) == ["two"]
    answer(tables, "three", "1-a")  # by a server that has not seen it yet
    assert answered(tables) == ["two"]


@pytest.mark.parametrize(
    "removal",
    [make_removal(global_id="1-a"), make_removal(author="ann", source="a", hidden=True)],
    ids=["deleted", "hidden"],
)
def test_an_answer_that_is_written_amid_a_removal_goes_too(
    tmp_path: Path, removal: Removal, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, tables = PostRows(tmp_path, POSTS), LanceTables(tmp_path)
    table.upsert([row("1-a")])
    answer(tables, "before", "1-a")
    delete = KeyedTable.delete_where

    def answers_first(self: KeyedTable, where: str) -> None:
        answer(tables, "amid", "1-a")
        delete(self, where)

    monkeypatch.setattr(KeyedTable, "delete_where", answers_first)
    table.remove([removal])
    assert answered(tables) == []

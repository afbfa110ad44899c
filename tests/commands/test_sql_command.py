"""`memewax sql`: what it finds, and what no query gets at."""

import csv
import io
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner, Result

from connectors.store.stored_table import StoredTable
from core.errors import SettingsError, WorldError
from memewax.commands.app import app
from search.answer import ANSWERS, Answer, answer_row
from search.sql import CONFIG, run_query
from tests.connectors.sinks.test_cluster_events import store

__all__ = ["store"]


def asked(store: Path, query: str, *words: str) -> Result:
    done = CliRunner().invoke(app, ["sql", query, "--store", str(store), *words])
    if done.exception is not None:
        raise done.exception
    return done


def rows(store: Path, query: str) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in asked(store, query, "--json").stdout.splitlines()]


def test_posts_are_counted_by_the_clusters_of_now(store: Path) -> None:
    query = "SELECT current_cluster, count(*) AS posts FROM posts GROUP BY ALL ORDER BY posts DESC"
    assert rows(store, query) == [{"current_cluster": 0, "posts": 30}, {"current_cluster": 5, "posts": 12}]
    assert rows(store, "SELECT count(*) AS n, count(DISTINCT cluster) AS given FROM Posts") == [{"n": 42, "given": 4}]


def test_clusters_are_joined_with_posts(store: Path) -> None:
    query = """
        SELECT c.cluster, any_value(c.size) AS size, min(p.created_time) AS first
        FROM clusters c JOIN posts p ON p.current_cluster = c.cluster GROUP BY c.cluster ORDER BY c.cluster
    """
    assert [(it["cluster"], it["size"]) for it in rows(store, query)] == [(0, 30), (5, 12)]


def test_answers_are_there_where_a_store_has_some(store: Path) -> None:
    with pytest.raises(SettingsError, match=r"answers does not exist.*the tables are posts, clusters, answers"):
        rows(store, "SELECT * FROM answers")
    StoredTable(store, ANSWERS).upsert([answer_row(Answer("q", "space?", "posts"))])
    assert rows(store, "SELECT id, text FROM answers") == [{"id": "q", "text": "space?"}]


def test_all_columns_are_there_but_vectors_which_are_to_be_named(store: Path) -> None:
    (whole,) = rows(store, "SELECT * FROM posts LIMIT 1")
    assert {"global_id", "text", "current_cluster", "lines"} <= whole.keys()
    assert not {"embeddings", "text_embedding"} & whole.keys()
    (vector,) = rows(store, "SELECT embeddings FROM posts LIMIT 1")
    assert len(vector["embeddings"]) == 8
    assert rows(store, "FROM posts LIMIT 1")[0].keys() == whole.keys()


def test_forms_for_people_and_for_programs(store: Path) -> None:
    query = "SELECT global_id, current_cluster FROM posts ORDER BY global_id"
    found = list(csv.DictReader(io.StringIO(asked(store, query, "--csv").stdout)))
    assert len(found) == 42
    assert found[0].keys() == {"global_id", "current_cluster"}
    shown = asked(store, query, "-n", "3")
    assert shown.stdout.count("-reddit") == 3
    assert "the first 3 rows; raise -n to see more" in shown.stderr
    assert "to see more" not in asked(store, query, "-n", "42").stderr
    with pytest.raises(SettingsError, match="choose one"):
        asked(store, query, "--csv", "--json")


def test_values_of_every_kind_have_a_form(store: Path) -> None:
    (found,) = rows(
        store,
        "SELECT 1.5::DECIMAL(4,1) d, TIMESTAMPTZ '2026-05-01 10:00+00' t, 'x'::BLOB b, INTERVAL 1 DAY i, "
        "'nan'::FLOAT n, 170141183460469231731687303715884105727::HUGEINT h, {'a': [1, NULL]} s, NULL z, 1 z",
    )
    assert (found["d"], found["b"], found["n"], found["s"]) == ("1.5", "78", None, {"a": [1, None]})
    assert found["t"].startswith("2026-05-01T")
    assert found["h"] == "170141183460469231731687303715884105727"
    assert (found["z"], found["z_2"]) == (None, 1)


def test_nothing_of_a_stranger_reaches_the_terminal(store: Path) -> None:
    for words in ((), ("--json",)):
        assert not set(asked(store, "SELECT chr(27) || '[2J' || chr(8238) AS x", *words).stdout) & set("\x1b\u202e")


HOSTILE = [
    "COPY posts TO 'out.csv'",
    "COPY (SELECT 1) TO 'out.csv'",
    "EXPORT DATABASE 'out'",
    "IMPORT DATABASE 'out'",
    "ATTACH 'out.db'",
    "CREATE TABLE out AS SELECT 1",
    "CREATE SECRET (TYPE s3)",
    "DROP TABLE posts",
    "DELETE FROM posts",
    "WITH gone AS (DELETE FROM posts RETURNING *) SELECT * FROM gone",
    "UPDATE posts SET text = ''",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET enable_external_access = true",
    "RESET enable_external_access",
    "SET GLOBAL lock_configuration = false",
    "PRAGMA enable_external_access = true",
    "CALL pragma_version()",
    "PREPARE x AS SELECT 1",
    "EXPLAIN ANALYZE COPY posts TO 'out.csv'",
    "SELECT 1; COPY posts TO 'out.csv'",
    "SELECT 1; SELECT 2",
    "",
    ";",
    "/* nothing */",
    "SELECT * FROM 'secret.csv'",
    "SELECT * FROM 'SECRET'",
    "SELECT * FROM read_csv('secret.csv')",
    "SELECT * FROM read_csv_auto('secret.csv')",
    "SELECT * FROM read_text('secret.csv')",
    "SELECT * FROM read_blob('secret.csv')",
    "SELECT * FROM read_json('secret.csv')",
    "SELECT * FROM read_parquet('secret.csv')",
    "SELECT * FROM parquet_metadata('secret.csv')",
    "SELECT * FROM sniff_csv('secret.csv')",
    "SELECT * FROM glob('*')",
    "SELECT * FROM 'http://127.0.0.1:9/secret.csv'",
    "SELECT * FROM query('COPY posts TO ''out.csv''')",
    "SELECT * FROM query('SELECT * FROM read_text(''secret.csv'')')",
    "SELECT * FROM duckdb_secrets()",
    "SELECT getenv('HOME')",
    "SELECT * FROM rows",
    "SELECT * FROM orjson",
]
"""None of these gives a row, but says what it is that cannot be done."""


@pytest.mark.parametrize("query", HOSTILE)
def test_a_query_gets_at_nothing_but_the_store_and_changes_nothing(
    query: str, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.csv").write_text("word\nhush\n")
    before = everything(tmp_path)
    with pytest.raises(SettingsError) as caught:
        rows(store, query.replace("SECRET", str(tmp_path / "secret.csv")))
    assert "hush" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert everything(tmp_path) == before


def everything(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_a_query_may_have_parts_with_names(store: Path) -> None:
    before = everything(store)
    with run_query(store, "WITH x AS (SELECT 1) SELECT count(*) FROM posts", 60) as found:
        assert list(found.rows) == [(42,)]
    assert everything(store) == before


def test_a_query_ends_when_its_time_is_over(store: Path) -> None:
    endless = "SELECT count(*) FROM range(100000000000) a, range(100000000000) b WHERE a.range + b.range = 3"
    with pytest.raises(WorldError, match=r"more than 0\.2 s"):
        asked(store, endless, "--seconds", "0.2")


def test_a_query_that_takes_much_memory_ends(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CONFIG, "memory_limit", "50MB")
    with pytest.raises(WorldError, match="of memory: name fewer columns or rows"):
        asked(store, "SELECT list(range) FROM range(100000000)")


def test_a_store_that_is_not_there_is_said_to(tmp_path: Path) -> None:
    with pytest.raises(WorldError, match="is not a store"):
        asked(tmp_path / "nowhere", "SELECT 1")

"""Every kind of store is made, looked at, put together and forgets; what one cannot do it says before it does anything."""

from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from connectors.remnants import LookedFor
from connectors.store.interface import Store, UnsupportedError
from core.errors import MemewaxError, SettingsError
from memewax.commands.app import app
from tests.connectors.store.test_every_store import KINDS, opened, rows_of, writer
from tests.connectors.store.test_removed_posts import row
from tests.factories import make_removal

NAME = "forgettable0003-a"


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    made = opened(KINDS[request.param].address(request), tmp_path / "state")
    posts = writer(made)
    posts.upsert([row(NAME), row("kept-a"), row("bob-a", author="bob")])
    return made


def test_it_is_looked_at(store: Store) -> None:
    found = {it.table: (it.rows, it.duplicates) for it in store.facts()}
    assert found["posts"] == (3, 0)


def test_it_forgets_where_no_flow_runs(store: Store) -> None:
    removals = [make_removal(global_id=NAME), make_removal(author="bob", source="a")]
    assert {it.place for it in store.remnants(LookedFor((NAME,)))} >= {"table posts"}
    assert sorted(store.matching_ids(removals)) == ["bob-a", NAME]
    with store.write_lock():
        assert store.forget(removals) == "2 rows deleted"
        assert store.forget(removals) == "0 rows deleted"
        store.compact()
    assert rows_of(store).keys() == {"kept-a"}
    assert store.matching_ids(removals) == []
    assert "table posts" not in {it.place for it in store.remnants(LookedFor((NAME,)))}


def test_files_that_are_not_looked_through_are_told_of(store: Store) -> None:
    with store.write_lock():
        store.forget([make_removal(global_id=NAME)])
    assert list(store.remnants(LookedFor((NAME,))))


def test_commands_ask_every_store(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEMEWAX_STATE_DIR", str(tmp_path / "state"))
    asked = CliRunner().invoke(
        app, ["forget", "--store", store.address, "--id", NAME, "--json"], catch_exceptions=False
    )
    told = orjson.loads(asked.stdout)
    assert told == {
        "store": store.address,
        "done": "forgotten in the store; no recovery folder of a flow was found: if there is one, name it with --recovery",
    }
    assert rows_of(store).keys() == {"kept-a", "bob-a"}
    done = CliRunner().invoke(app, ["store", "compact", "--store", store.address], catch_exceptions=False)
    assert done.stderr.startswith(f"memewax: {store.address}: ")
    checked = CliRunner().invoke(app, ["store", "check", "--store", store.address, "--json"], catch_exceptions=False)
    assert {it["table"]: it["rows"] for it in orjson.loads(checked.stdout)["tables"]}["posts"] == 2


@pytest.mark.parametrize("address", ["s3://bucket/store", "cassandra://127.0.0.1:1/memes"])
@pytest.mark.parametrize(
    "words",
    [
        ["store", "thumbnails", "--store"],
        ["serve", "--from", "queries.jsonl", "--store"],
        ["corpus", "list", "--store"],
        ["corpus", "load", "texts.jsonl", "--name", "own", "--to"],
    ],
)
def test_what_is_done_in_a_folder_alone_is_refused_by_name(
    words: list[str], address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, [*words, address])
    assert isinstance(done.exception, MemewaxError)
    assert address in str(done.exception)
    assert "is not a folder" in str(done.exception)
    assert list(tmp_path.iterdir()) == []


def test_a_store_elsewhere_is_no_store_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMEWAX_STORE", "s3://bucket/store")
    done = CliRunner().invoke(app, ["serve", "--from", "queries.jsonl"])
    assert isinstance(done.exception, SettingsError)
    assert "expected a folder" in str(done.exception)


@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_copies_and_indexes_are_for_those_that_have_some(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    made = opened(KINDS[kind].address(request), tmp_path / "state")
    with pytest.raises(UnsupportedError, match="keeps no copies of rows"):
        made.create([], copies=3)
    with pytest.raises(UnsupportedError, match="keeps no index over vectors"):
        made.create([], has_vector_indexes=True)
    assert made.names() == []

"""`memewax clusters` and `memewax bench clusters` say what there is."""

from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from memewax.commands.app import app
from tests.commands.typed import Memewax
from tests.connectors.sinks.test_cluster_events import store

__all__ = ["store"]

TERMINAL = {*range(9), *range(11, 32), *range(0x7F, 0xA0), *range(0x202A, 0x202F)}
"""Characters that a terminal acts upon."""


def answer(*words: str) -> str:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_list_names_all_the_largest_first(store: Path) -> None:
    found = orjson.loads(answer("clusters", "list", "--store", str(store), "--json"))["clusters"]
    assert [it["cluster"] for it in found] == [0, 5]
    assert found[1]["exemplars"][0]["global_id"] in {"105-reddit", "106-reddit"}
    assert "doge" in answer("clusters", "list", "--store", str(store))


def test_trending_leaves_out_what_falls(store: Path) -> None:
    found = orjson.loads(answer("clusters", "trending", "--store", str(store), "--hours", "10", "--json"))["clusters"]
    assert [it["cluster"] for it in found] == [5]


def test_the_store_is_that_of_the_settings_unless_named(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMEWAX_STORE", str(store))
    assert orjson.loads(answer("clusters", "show", "5", "--json"))["cluster"] == 5


@pytest.mark.parametrize(
    ("command", "told"), [("list", "s has no clusters yet"), ("trending", "no cluster is trending over 24 hours")]
)
def test_where_there_is_nothing_to_show_that_is_said(command: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memewax.api.MemeStore.clusters", lambda *_: [])
    result = CliRunner().invoke(app, ["clusters", command, "--store", "s"])
    assert (result.stdout, result.stderr) == ("", f"memewax: {told}\n")


@pytest.mark.parametrize("old", ["0", "1", "2"])
def test_show_knows_a_cluster_by_every_name_it_had(store: Path, old: str) -> None:
    found = orjson.loads(answer("clusters", "show", old, "--store", str(store), "--json"))
    assert (found["cluster"], found["merged"]) == (0, [1, 2])
    assert "14-reddit" in answer("clusters", "show", old, "--store", str(store))


def test_bench_compares_in_one_run() -> None:
    found = orjson.loads(answer("bench", "clusters", "--clusters", "40", "-n", "200", "--json"))
    assert found["river_dbstream"]["clusters"] == found["dbstream"]["clusters"]
    assert found["relevant"]["clusters"] == 40
    assert found["relevant"]["snapshot_bytes"] < 5_000_000
    assert all(it["embeddings_per_second"] > 0 for it in found.values())


def test_bench_times_the_default_when_it_is_full() -> None:
    words = ("bench", "clusters", "--clusters", "10", "-n", "600", "--exemplars", "400", "--json")
    full = orjson.loads(answer(*words))["verified"]
    assert full["exemplars"] <= 400
    assert 0 < full["clusters"] <= 60
    assert full["snapshot_mb"] < 5


HOSTILE = "\x1b]0;title\x07\x1b[31m\u202e\x9b"


@pytest.mark.parametrize("words", [["show", "0"], ["show", "0", "--json"], ["list"], ["list", "--json"]])
def test_what_strangers_wrote_does_nothing_to_the_terminal(words: list[str], memewax: Memewax) -> None:
    post = {"global_id": f"{HOSTILE}-reddit", "url": f"1{HOSTILE}\n.png", "desc": f"{HOSTILE} doge"}
    Path("posts.jsonl").write_bytes(b"".join(orjson.dumps(post | {"author": str(it)}) + b"\n" for it in range(2)))
    assert memewax("run", "--from", "posts.jsonl", "--to", "store").code == 0
    done = memewax("clusters", *words, "--store", "store")
    assert done.code == 0
    assert "reddit" in done.out or "list" in words
    assert not {letter for letter in done.out + done.err if ord(letter) in TERMINAL}


def test_an_error_that_quotes_a_stranger_is_harmless(memewax: Memewax) -> None:
    Path("rows.jsonl").write_bytes(orjson.dumps({HOSTILE: 1}) + b"\n")
    done = memewax("corpus", "load", "rows.jsonl", "--name", "own", "--store", "store")
    assert (done.code, "the columns are" in done.err) == (2, True)
    assert not {letter for letter in done.err if ord(letter) in TERMINAL}

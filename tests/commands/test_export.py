"""`memewax export`: what a store holds, written out."""

import csv
from pathlib import Path
from typing import Any

import networkx as nx
import orjson
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from connectors.store.posts_table import PostStore
from core.errors import SettingsError, WorldError
from memewax.commands.app import app
from tests.connectors.sinks.test_cluster_events import row, store

__all__ = ["store"]


@pytest.fixture
def own(store: Path) -> Path:
    """The store, with two posts that have columns of their own."""
    posts = PostStore(store, 8, 8)
    extras: list[dict[str, Any]] = [
        {"year": 2023, "sub": "memes", "share": 1, "text": "theirs", "odd": [1]},
        {"year": 2024, "sub": None, "share": 0.5, "hot": True},
    ]
    posts.upsert([row(200 + n, 6, 50 + n, "own") | {"extra": extra} for n, extra in enumerate(extras)])
    return store


def exported(*words: str) -> Any:
    done = CliRunner().invoke(app, ["export", *words])
    if done.exception is not None:
        raise done.exception
    return done


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return [
            it | {"extra": orjson.loads(it["extra"])} if "extra" in it else it for it in pq.read_table(path).to_pylist()
        ]
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return list(csv.DictReader(file))
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_posts_come_with_clusters_as_of_now_and_with_columns_of_ones_own(
    ending: str, own: Path, tmp_path: Path
) -> None:
    path = tmp_path / f"posts.{ending}"
    exported("posts", "--store", str(own), "--to", str(path))
    rows = {it["global_id"]: it for it in read(path)}
    assert len(rows) == 44
    assert {it["current_cluster"] for it in rows.values() if int(it["global_id"].partition("-")[0]) < 30} == {0}
    assert {it["cluster"] for it in rows.values() if int(it["global_id"].partition("-")[0]) < 30} == {0, 1, 2}
    first, second = rows["200-reddit"], rows["201-reddit"]
    names = ("year", "sub", "share", "extra_text", "odd", "hot")
    assert [first[name] for name in names] == [2023, "memes", 1.0, "theirs", "[1]", None]
    assert [second[name] for name in names] == [2024, None, 0.5, None, None, True]
    assert first["text"] != "theirs"
    assert rows["1-reddit"]["year"] is None
    assert "embeddings" not in first


def test_a_table_for_people_has_a_cell_for_each(own: Path, tmp_path: Path) -> None:
    path = tmp_path / "posts.csv"
    exported("posts", "--store", str(own), "--to", str(path))
    rows = {it["global_id"]: it for it in read(path)}
    assert (rows["200-reddit"]["year"], rows["200-reddit"]["odd"], rows["200-reddit"]["extra"]) == ("2023", "[1]", "")
    assert orjson.loads(rows["200-reddit"]["lines"])[0]["text"]


def test_vectors_come_where_they_are_asked_for(store: Path, tmp_path: Path) -> None:
    exported("posts", "--store", str(store), "--to", str(tmp_path / "p.parquet"), "--vectors")
    assert len(read(tmp_path / "p.parquet")[0]["embeddings"]) == 8


def test_clusters_and_counts(store: Path, tmp_path: Path) -> None:
    exported("clusters", "--store", str(store), "--to", str(tmp_path / "c.csv"))
    clusters = read(tmp_path / "c.csv")
    assert [(it["cluster"], it["size"], it["merged"]) for it in clusters] == [("0", "30", "[1,2]"), ("5", "12", "")]
    for ending in ("csv", "parquet", "jsonl"):
        exported("counts", "--store", str(store), "--to", str(tmp_path / f"n.{ending}"))
        counts = [(it["day"], int(it["cluster"]), int(it["posts"])) for it in read(tmp_path / f"n.{ending}")]
        assert counts == [("2026-05-01", 0, 24), ("2026-05-02", 0, 6), ("2026-05-02", 5, 12)]


def test_a_folder_for_each_day(store: Path, tmp_path: Path) -> None:
    words = ("posts", "--store", str(store), "--to", str(tmp_path / "days"), "--form", "parquet", "--partition", "day")
    exported(*words)
    found = {path.parent.name: len(read(path)) for path in (tmp_path / "days").rglob("*.parquet")}
    assert found == {"day=2026-05-01": 24, "day=2026-05-02": 18}
    with pytest.raises(WorldError, match="exists already"):
        exported(*words)


def test_nothing_is_written_over_unless_that_is_said(store: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("precious")
    with pytest.raises(WorldError, match="exists already"):
        exported("counts", "--store", str(store), "--to", str(path))
    assert path.read_text() == "precious"
    exported("counts", "--store", str(store), "--to", str(path), "--replace")
    assert len(read(path)) == 3
    assert sorted(it.name for it in tmp_path.iterdir()) == ["mine.csv", "store"]


def test_a_plot_shows_the_largest_clusters(store: Path, tmp_path: Path) -> None:
    exported("counts", "--store", str(store), "--plot", str(tmp_path / "plot.svg"))
    assert "<svg" in (tmp_path / "plot.svg").read_text()


@pytest.mark.parametrize(
    ("words", "error", "told"),
    [
        (("posts",), SettingsError, "nothing to write"),
        (("posts", "--to", "posts.xlsx"), SettingsError, "choose csv, jsonl, parquet"),
        (("clusters", "--to", "c.csv", "--partition", "day"), SettingsError, "span many days"),
        (("posts", "--to", "p.csv", "--store", "nowhere"), WorldError, "is not a store"),
    ],
)
def test_what_cannot_be_is_told(
    words: tuple[str, ...], error: type[Exception], told: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=told):
        exported(*words)


def test_a_map_and_a_network_are_forms_of_posts_and_of_clusters(own: Path, tmp_path: Path) -> None:
    atlas, network = tmp_path / "map.parquet", tmp_path / "net.gexf"
    done = exported("posts", "--store", str(own), "--to", str(atlas), "--form", "atlas", "--json")
    assert orjson.loads(done.stdout)["posts"] == pq.read_table(atlas).num_rows > 0
    shared = [row(300 + n, 77, n, "own") | {"source": f"source {n % 2}"} for n in range(4)]
    PostStore(own, 8, 8).upsert(shared)
    done = exported("clusters", "--store", str(own), "--to", str(network), "--by", "source", "--json")
    assert orjson.loads(done.stdout) | {"to": ""} == {
        "what": "clusters", "to": "", "nodes": 3, "lines": 2,
    }  # fmt: skip
    assert nx.read_gexf(network).number_of_nodes() == 3
    alike = tmp_path / "alike.gexf"
    done = exported("posts", "--store", str(own), "--to", str(alike), "--json")
    assert (
        orjson.loads(done.stdout)["nodes"] == nx.read_gexf(alike).number_of_nodes() == pq.read_table(atlas).num_rows + 4
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("clusters", "--form", "atlas"), "atlas is a format of posts"),
        (("counts", "--form", "gexf"), "gexf is a format of posts and clusters"),
        (("posts", "--form", "atlas", "--partition", "day"), "leave out --partition"),
    ],
)
def test_a_form_of_something_else_is_refused(store: Path, tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        exported(*words, "--store", str(store), "--to", str(tmp_path / "out"))


def test_a_map_is_not_written_over(store: Path, tmp_path: Path) -> None:
    path = tmp_path / "net.gexf"
    path.write_text("mine")
    with pytest.raises(WorldError, match="exists already"):
        exported("clusters", "--store", str(store), "--to", str(path))
    assert path.read_text() == "mine"

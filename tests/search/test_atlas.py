"""Posts as a map: what looks alike lies together, all have a place, and who looks like whom is told."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.neighbors import NearestNeighbors

from connectors.sinks.record_table import posts_table
from connectors.sinks.rows import row_of
from connectors.store.posts_table import PostRows
from core.errors import WorldError
from core.records import Cluster, Record
from search import atlas
from search.atlas import _placed, write_atlas, write_images
from search.cluster_summaries import summaries
from search.exporting import Posts
from tests.factories import ANSWERS, post, sides
from tests.page.stores import filled, webp

DIMENSION = 32
DAY = timedelta(days=1)


def made(folder: Path, templates: int, each: int, missing: int = 0, alone: int = 1) -> Path:
    """A store of images of templates, and of some that have no embedding."""
    random = np.random.default_rng(4)
    centres = random.normal(size=(templates, DIMENSION)) * 2 + 9  # as in real models, they have a large mean
    rows = []
    for number in range(templates * each + missing + alone):
        template = number % templates
        embedding = (centres[template] + random.normal(size=DIMENSION) * 0.5).astype(np.float32)
        cluster = template if number < templates * each + missing else 1000 + number
        answers = {
            **ANSWERS,
            "cluster": Cluster(cluster, 0.1),
            "embedding": None if templates * each <= number < templates * each + missing else embedding,
        }
        global_id = f"{number}-a"
        rows.append(row_of(Record(post(global_id, description=f"caption {number}"), sides(global_id, **answers)), ""))
    PostRows(folder, posts_table(DIMENSION, 8)).upsert(rows)
    return folder


@pytest.mark.parametrize("mapped", [1000, 60])
def test_what_looks_alike_lies_together(tmp_path: Path, mapped: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atlas, "_MAPPED", mapped)  # with 60 most are placed among these
    store = made(tmp_path / "store", 5, 40, missing=3)
    path = tmp_path / "out" / "map.parquet"
    done = write_atlas(Posts(store), summaries(store, DAY), path)
    assert (done.posts, done.left_out) == (201, 3)
    rows = pq.read_table(path).to_pylist()
    points = np.array([[it["projection_x"], it["projection_y"]] for it in rows])
    assert np.isfinite(points).all()
    labels = np.array([int(it["global_id"].partition("-")[0]) % 5 for it in rows])
    near = NearestNeighbors(n_neighbors=6).fit(points).kneighbors(points, return_distance=False)[:, 1:]
    assert (labels[near] == labels[:, None]).mean() > 0.9
    for number, it in enumerate(rows):
        ids, distances = it["neighbors"]["ids"], it["neighbors"]["distances"]
        assert number not in ids
        assert len(ids) == len(set(ids)) == 15
        assert distances == sorted(distances)
        assert np.mean([labels[one] == labels[number] for one in ids]) > 0.9


def test_each_row_says_what_it_is(tmp_path: Path) -> None:
    store = made(tmp_path / "store", 2, 4)
    write_atlas(Posts(store), summaries(store, DAY), tmp_path / "map.parquet")
    rows = {it["global_id"]: it for it in pq.read_table(tmp_path / "map.parquet").to_pylist()}
    assert rows["3-a"]["words"] == "caption 3\nHello Paris"
    assert rows["3-a"]["cluster_label"].startswith("1")
    assert rows["8-a"]["cluster_label"] == "alone"
    assert rows["3-a"]["extra"] == "{}"


@pytest.mark.parametrize("posts", [1, 2, 6])
def test_a_few_posts_are_a_map_too(tmp_path: Path, posts: int) -> None:
    store = made(tmp_path / "store", 1, posts, alone=0)
    assert write_atlas(Posts(store), [], tmp_path / "map.parquet").posts == posts


def test_a_store_without_embeddings_has_none(tmp_path: Path) -> None:
    store = made(tmp_path / "store", 1, 0, missing=2, alone=0)
    with pytest.raises(WorldError, match="nothing to map"):
        write_atlas(Posts(store), [], tmp_path / "map.parquet")
    assert not (tmp_path / "map.parquet").exists()


def test_each_post_brings_the_thumbnail_that_the_store_has(tmp_path: Path) -> None:
    store = filled(tmp_path / "store")
    write_atlas(Posts(store, vectors=True), summaries(store, DAY), tmp_path / "map.parquet")
    rows = {it["global_id"]: it for it in pq.read_table(tmp_path / "map.parquet").to_pylist()}
    assert rows["1-reddit"]["image"] == rows["4-imgur"]["image"] == {"bytes": webp(40)}
    assert rows["20-reddit"]["image"] is None
    assert len(rows["1-reddit"]["embeddings"]) == 8


def test_some_posts_are_written_with_vectors_and_images_and_no_map(tmp_path: Path) -> None:
    store = filled(tmp_path / "store")
    path = tmp_path / "images.parquet"
    assert write_images(Posts(store, vectors=True), summaries(store, DAY), {"1-reddit", "20-reddit", "none"}, path) == 2
    rows = {it["global_id"]: it for it in pq.read_table(path).to_pylist()}
    assert rows["1-reddit"]["image"] == {"bytes": webp(40)}
    assert len(rows["20-reddit"]["embeddings"]) == 8
    assert "projection_x" not in rows["20-reddit"]


def test_posts_without_an_embedding_are_no_part_of_a_map_of_vectors(tmp_path: Path) -> None:
    store = made(tmp_path / "store", 1, 2, missing=2, alone=0)
    wanted = [f"{number}-a" for number in range(4)]
    assert write_images(Posts(store, vectors=True), [], wanted, tmp_path / "images.parquet") == 2


def test_posts_that_are_all_the_same_are_at_one_place() -> None:
    same = np.tile(np.full(8, 8**-0.5, np.float32), (40, 1))
    assert not _placed(same).any()

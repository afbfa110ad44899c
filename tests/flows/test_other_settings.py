"""A recovery folder that was made with other settings: refused in one line, before anything is written."""

from pathlib import Path
from typing import Any

import pytest

from tests.factories import FIELDS, Posts
from tests.flows.runs import Flow, wait_for


def stopped(folder: Path, posts: Posts, **settings: Any) -> Flow:
    """A flow that was drained amid the posts."""
    flow = Flow(folder, posts.path, seconds=0.02, **settings)
    run = flow.worker()
    wait_for(flow, run, len(posts.ids) // 3)
    run.drain()
    return flow


def refused(flow: Flow) -> str:
    """The one line that a run says instead of going on."""
    code, said = flow.memewax().result()
    assert code == 2, said
    (line,) = [line for line in said.splitlines() if line]
    return line


@pytest.fixture(scope="module")
def plain(posts: Posts, tmp_path_factory: pytest.TempPathFactory) -> Flow:
    """One of the settings that hold where nothing is said; who is refused leaves it as it is."""
    return stopped(tmp_path_factory.mktemp("plain"), posts)


@pytest.fixture(scope="module")
def sharded(posts: Posts, tmp_path_factory: pytest.TempPathFactory) -> Flow:
    return stopped(tmp_path_factory.mktemp("sharded"), posts, cluster_shards=4)


@pytest.mark.parametrize(("before", "now"), [(1, 4), (4, 1)])
def test_another_number_of_shards(plain: Flow, sharded: Flow, posts: Posts, before: int, now: int) -> None:
    flow = plain if before == 1 else sharded
    lines = flow.lines()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(flow.settings, "cluster_shards", now)
        line = refused(flow)
    assert f"made by {before} shard" in line
    assert f"not by {now}: set MEMEWAX_CLUSTER_SHARDS={before}" in line
    assert flow.lines() == lines
    flow.worker().end()
    assert flow.rows().keys() == posts.ids


def test_another_clusterer(plain: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(plain.settings, "clusterer", "dbstream")
    assert "clusters of verified, not of dbstream: set MEMEWAX_CLUSTERER=verified" in refused(plain)


@pytest.mark.parametrize("before", ["plain", "sharded", "dbstream"])
def test_an_image_model_of_other_numbers(
    before: str, posts: Posts, folder: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow: Flow = stopped(folder, posts, clusterer=before) if before == "dbstream" else request.getfixturevalue(before)
    monkeypatch.setenv(FIELDS, "3")
    line = refused(flow)
    assert "embeddings of 27 numbers, but the clusters in the recovery folder were made from embeddings of 48" in line

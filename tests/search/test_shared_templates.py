"""Who posts which templates: the network that an analyst opens in Gephi."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import networkx as nx
import pytest

from core.errors import SettingsError
from search import shared_templates
from search.cluster_summaries import ClusterSummary
from search.shared_templates import network_of, write_gexf

TIME = datetime(2026, 7, 4, tzinfo=UTC)


def summary(cluster: int, size: int, *words: str) -> ClusterSummary:
    return ClusterSummary(cluster, "live", (), size, 0, TIME, TIME, 0, 0, 0.0, 0.0, words)


def post(cluster: int, author: str, source: str = "a", day: int = 1, **extra: Any) -> dict[str, Any]:
    return {
        "current_cluster": cluster, "author": author, "source": source, "created_time": f"2026-07-0{day}T00:00:00Z",
        "joined_time": "", "extra": extra,
    }  # fmt: skip


POSTS = [
    post(1, "ann", channel="memes"),
    post(1, "ann", channel="memes", day=3),
    post(1, "bob", channel="dank"),
    post(2, "bob", channel="dank"),
    post(2, "ann", channel="memes"),
    post(2, "", source="b"),
    post(3, "cid", channel="lonely"),
    post(-1, "cid", channel="lonely"),
]
CLUSTERS = [summary(1, 3, "drake", "hotline"), summary(2, 3), summary(3, 1)]


def test_communities_and_clusters_are_joined_by_posts() -> None:
    graph = network_of(POSTS, CLUSTERS, "community", at_least=2, shared=False)
    assert graph.nodes["community: memes@a"] == {"label": "memes@a", "kind": "community", "posts": 3}
    told = graph.nodes["cluster: 1"]
    assert (told["label"], told["kind"], told["posts"]) == ("1, drake, hotline", "cluster", 3)
    assert graph.edges["cluster: 1", "community: memes@a"] == {
        "weight": 2, "first_day": "2026-07-01", "last_day": "2026-07-03",
    }  # fmt: skip
    assert "community: b" in graph  # of a source that knows no communities
    assert "community: lonely@a" not in graph
    assert graph.number_of_edges() == 5
    assert "cluster: 3" in network_of(POSTS, CLUSTERS, "community", at_least=1, shared=False)


@pytest.mark.parametrize(
    ("by", "lines"),
    [
        ("community", {("dank@a", "memes@a"): 2, ("b", "dank@a"): 1, ("b", "memes@a"): 1}),
        ("author", {("ann@a", "bob@a"): 2}),
        ("source", {("a", "b"): 1}),
    ],
)
def test_who_posts_the_same_is_joined_by_how_much(by: Any, lines: dict[tuple[str, str], int]) -> None:
    graph = network_of(POSTS, CLUSTERS, by, at_least=2, shared=True)
    found = {tuple(sorted((one, other))): told["weight"] for one, other, told in graph.edges(data=True)}
    assert found == {tuple(f"{by}: {it}" for it in pair): count for pair, count in lines.items()}


def test_too_many_lines_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_templates, "_MOST_LINES", 1)
    with pytest.raises(SettingsError, match=r"pairs .* leave out --shared"):
        network_of([*POSTS, post(2, "", source="c")], CLUSTERS[:2], "source", at_least=2, shared=True)


def test_what_strangers_wrote_is_valid_xml_and_comes_back(tmp_path: Path) -> None:
    odd = 'a\x00\x1b[31m<b>&"\n\ud800\uffff'
    posts = [post(1, odd + number, channel=odd) for number in "123"]
    path = tmp_path / "out" / "net.gexf"
    write_gexf(network_of(posts, [summary(1, 3, odd)], "author", at_least=2, shared=False), path)
    ET.parse(path)
    graph = nx.read_gexf(path)
    assert graph.number_of_nodes() == 4
    assert {told["kind"] for _, told in graph.nodes(data=True)} == {"author", "cluster"}
    assert all(told["weight"] == 1 for _, _, told in graph.edges(data=True))

"""Posts as a network of what is the same image, or nearly the same."""

from pathlib import Path

import networkx as nx
import pytest

from core.errors import SettingsError
from search import image_network
from search.exporting import Posts
from search.image_network import network_of_posts
from search.shared_templates import write_gexf
from tests.page.stores import filled
from tests.search.test_atlas import made


def test_copies_and_what_looks_alike_are_joined(tmp_path: Path) -> None:
    graph = network_of_posts(Posts(made(tmp_path / "store", 3, 20, missing=2)))
    assert len(graph) == 63
    assert graph.number_of_edges() >= 60
    for one, other, told in graph.edges(data=True):
        templates = {int(it.partition("-")[0]) % 3 for it in (one, other)}
        assert (len(templates), told["kind"]) == (1, "alike")
        assert 0.7 <= told["weight"] <= 1
    assert graph.nodes["3-a"]["label"] == "Hello Paris"


def test_a_copy_is_joined_to_its_original(tmp_path: Path) -> None:
    posts = Posts(filled(tmp_path / "store"))
    graph = network_of_posts(posts)
    copies = {frozenset(pair) for *pair, told in graph.edges(data=True) if told["kind"] == "copy"}
    assert copies == {frozenset({"1-reddit", "2-reddit"}), frozenset({"1-reddit", "4-imgur"})}
    some = network_of_posts(posts, {"2-reddit", "4-imgur", "20-reddit"})  # without their original
    assert len(some) == 3
    assert all(told["kind"] == "alike" for *_, told in some.edges(data=True))
    write_gexf(graph, tmp_path / "alike.gexf")
    assert nx.read_gexf(tmp_path / "alike.gexf").number_of_edges() == graph.number_of_edges()


def test_more_than_can_be_looked_at_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_network, "MOST_POSTS", 5)
    with pytest.raises(SettingsError, match="more than 5 posts"):
        network_of_posts(Posts(filled(tmp_path / "store")))

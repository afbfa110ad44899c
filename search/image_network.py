"""Network of posts, linked if their images are copies or look alike, for Gephi."""

from collections.abc import Collection
from typing import Any, Final

from core.errors import SettingsError
from core.extras import needs_extra
from search.exporting import ExportRow, Posts, day_of
from search.image_space import nearest_others, reduced_images
from search.shared_templates import TemplateNetwork, node_label

MOST_POSTS: Final = 20_000
"""Most nodes: a larger network can hardly be viewed, and takes hundreds of megabytes to write."""
_NEIGHBOURS: Final = 5
"""Nearest neighbours per image that may become edges."""
_ALIKE: Final = 0.7
"""Smallest cosine of two linked images, after subtracting the mean of all images."""


@needs_extra("maps", "memewax export --form gexf")
def network_of_posts(posts: Posts, wanted: Collection[str] | None = None) -> TemplateNetwork:
    """Build the network of posts: edges join copies of one image (`kind` is `copy`) and similar images (`alike`).

    The `weight` of an edge is the cosine of the two images; 1 for copies.

    Args:
        posts: Posts of a store.
        wanted: Ids of the posts to include; None for all.

    Raises:
        SettingsError: There are too many posts.
        WorldError: The store cannot be read.
    """
    import networkx as nx

    graph = nx.Graph()
    copies: list[tuple[str, str]] = []
    for row in posts:
        if wanted is None or row["global_id"] in wanted:
            if len(graph) == MOST_POSTS:
                raise SettingsError(f"more than {MOST_POSTS:,} posts: a network of that size can hardly be viewed")
            graph.add_node(row["global_id"], **_about(row))
            if row.get("duplicate_of"):
                copies.append((row["global_id"], row["duplicate_of"]))
    for one, other, cosine in _alike(posts, graph.nodes):
        graph.add_edge(one, other, weight=cosine, kind="alike")
    for one, original in copies:
        if original in graph:
            graph.add_edge(one, original, weight=1.0, kind="copy")
    return graph


def _alike(posts: Posts, wanted: Collection[str]) -> list[tuple[str, str, float]]:
    ids, points = reduced_images(posts, wanted)
    count = min(_NEIGHBOURS, len(ids) - 1)
    if count < 1:
        return []
    rows, distances = nearest_others(points, count)
    return [
        (ids[one], ids[other], round(float(1 - distance), 4))
        for one, (others, far) in enumerate(zip(rows, distances, strict=True))
        for other, distance in zip(others, far, strict=True)
        if other >= 0 and 1 - distance >= _ALIKE
    ]


def _about(row: ExportRow) -> dict[str, Any]:
    said = row.get("text_as_read") or row.get("description") or row["global_id"]
    return {
        "label": node_label(said),
        "kind": "post",
        "source": node_label(row["source"] or ""),
        "author": node_label(row["author"] or ""),
        "cluster": row["current_cluster"],
        "day": day_of(row),
    }

"""Network of who posts which templates: a bipartite graph of clusters and of communities, authors or sources.

The bipartite graph is lossless. Community detection works on its projection: a graph of posters only, where the weight
of an edge is the number of clusters that two have in common.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from itertools import combinations
from pathlib import Path
from typing import Any, Final, Literal

from core.atomic_file import atomic_write
from core.errors import SettingsError, WorldError
from core.extras import needs_extra
from core.records import account_of
from core.untrusted_text import one_line, shortened
from search.cluster_summaries import ClusterSummary
from search.exporting import ExportRow, day_of

Party = Literal["community", "author", "source"]
"""Kind of poster: the community that a post is in, its author, or its source."""
TemplateNetwork = Any
"""A graph of networkx."""
_MOST_LINES: Final = 2_000_000
_LONGEST: Final = 200
_WORDS: Final = 4


def _community(row: ExportRow) -> str:
    channel = row.get("channel") or row["extra"].get("channel")
    return f"{channel}@{row['source']}" if channel else row["source"]


PARTIES: Final[dict[Party, Callable[[ExportRow], str]]] = {
    "community": _community,
    "author": lambda row: account_of(row["author"], row["source"]),
    "source": lambda row: str(row["source"]),
}


@needs_extra("maps", "memewax export --form gexf")
def network_of(
    posts: Iterable[ExportRow], clusters: list[ClusterSummary], by: Party, *, at_least: int, shared: bool
) -> TemplateNetwork:
    """Build the network of clusters and who posted them.

    Args:
        posts: Posts of a store.
        clusters: Summaries of the store's clusters.
        by: Kind of poster.
        at_least: Smallest size of a cluster, in posts.
        shared: Project to posters: an edge joins two, weighted by the number of clusters that they have in common.

    Raises:
        SettingsError: The projection would have too many edges.
    """
    import networkx as nx

    known = {it.cluster: it for it in clusters if it.size >= at_least}
    counts: Counter[tuple[int, str]] = Counter()
    sizes: Counter[str] = Counter()
    days: dict[tuple[int, str], tuple[str, str]] = {}
    for row in posts:
        party = node_label(PARTIES[by](row))
        cluster = row["current_cluster"]
        if not party:
            continue
        sizes[party] += 1
        if cluster not in known:
            continue
        pair, day = (cluster, party), day_of(row)
        counts[pair] += 1
        first, last = days.get(pair, (day, day))
        days[pair] = min(first, day), max(last, day)
    graph = nx.Graph()
    for party in sorted({party for _, party in counts}):
        graph.add_node(f"{by}: {party}", label=party, kind=by, posts=sizes[party])
    if shared:
        _join_parties(graph, by, counts)
        return graph
    for cluster in sorted({cluster for cluster, _ in counts}):
        summary = known[cluster]
        graph.add_node(
            f"cluster: {cluster}",
            label=node_label(", ".join((str(cluster), *summary.words[:_WORDS]))),
            kind="cluster",
            posts=summary.size,
            first_seen=summary.first_seen.isoformat(),
            last_seen=summary.last_seen.isoformat(),
        )
    for (cluster, party), count in sorted(counts.items()):
        first, last = days[cluster, party]
        graph.add_edge(f"cluster: {cluster}", f"{by}: {party}", weight=count, first_day=first, last_day=last)
    return graph


def _join_parties(graph: TemplateNetwork, by: Party, counts: Counter[tuple[int, str]]) -> None:
    """Add an edge between any two posters with clusters in common, weighted by their number."""
    parties: dict[int, list[str]] = defaultdict(list)
    for cluster, party in counts:
        parties[cluster].append(party)
    lines = sum(len(those) * (len(those) - 1) // 2 for those in parties.values())
    if lines > _MOST_LINES:
        raise SettingsError(
            f"{lines:,} pairs have a cluster in common: leave out --shared, or choose larger clusters with --at-least"
        )
    shared: Counter[tuple[str, str]] = Counter()
    for those in parties.values():
        shared.update(combinations(sorted(those), 2))
    for (one, other), count in sorted(shared.items()):
        graph.add_edge(f"{by}: {one}", f"{by}: {other}", weight=count)


def write_gexf(graph: TemplateNetwork, path: Path) -> None:
    """Write a network as GEXF for Gephi, atomically; raise `WorldError` if that fails."""
    import networkx as nx

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as out:
            nx.write_gexf(graph, out)
    except OSError as error:
        raise WorldError(f"{path}: {error.strerror or error}") from None


def node_label(text: str) -> str:
    """Clean an untrusted text for use in XML: one line, shortened, without characters that XML forbids."""
    return shortened(one_line(text).replace("\ufffe", "").replace("\uffff", ""), _LONGEST).strip()

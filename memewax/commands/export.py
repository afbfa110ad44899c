"""`memewax export`: what a store holds, as files that others read."""

import sys
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from core.errors import SettingsError, WorldError
from core.extras import needs_extra
from memewax.commands.corpus_output import AsJson, ReadStore, opened_store, write_json

if TYPE_CHECKING:
    from connectors.store.interface import Store
    from search.shared_templates import Party

What = Literal["posts", "clusters", "counts"]
_PLOTTED: Final = 10
"""Clusters in a plot."""
_FORM: Final = (
    "csv, jsonl or parquet; of posts and clusters gexf too, of posts atlas; by default what the name ends in."
)
_BY: Final = "Of a network: who posts, the community, author or source."


def export(
    what: Annotated[What, typer.Argument(help="posts, clusters, or counts: posts of each cluster per day.")],
    to: Annotated[Path | None, typer.Option("--to", help="The file, or with --partition the folder.")] = None,
    store: ReadStore = None,
    form: Annotated[str | None, typer.Option(help=_FORM)] = None,
    partition: Annotated[Literal["day"] | None, typer.Option(help="Write a folder day=… for each day.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the largest clusters over time, .png or .svg.")] = None,
    vectors: Annotated[bool, typer.Option("--vectors", help="Embeddings too.")] = False,
    hours: Annotated[float, typer.Option(min=0.01, max=876_000, help="What counts as recent, of clusters.")] = 24.0,
    by: Annotated[Literal["community", "author", "source"], typer.Option(help=_BY)] = "community",
    at_least: Annotated[int, typer.Option(min=1, help="Of a network: posts of a cluster, at least.")] = 2,
    shared: Annotated[
        bool, typer.Option("--shared", help="Of a network: join who posts the same, and leave clusters out.")
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Write over a file that is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write posts, clusters or counts per day of a store, with clusters as of now. No model runs."""
    from search.exporting import COUNTS_SCHEMA, Posts, clusters_of, counts_of, form_of_export, write_export

    is_gexf = form == "gexf" or (form is None and to is not None and to.suffix.lower() == ".gexf")
    if to is not None and (form == "atlas" or is_gexf):
        _check_special(what, to, "gexf" if is_gexf else "atlas", replace=replace, others=bool(partition or plot))
        there = opened_store(store)
        if not is_gexf:
            counted = _atlas(there, to, vectors=vectors)
        elif what == "posts":
            counted = _network_of_posts(there, to)
        else:
            counted = _network(there, to, by, at_least, shared=shared)
        if as_json:
            write_json({"what": what, "to": str(to), **counted})
        else:
            print(
                f"memewax: {to}: {', '.join(f'{count:,} {name}' for name, count in counted.items())}", file=sys.stderr
            )
        return

    if to is None and plot is None:
        raise SettingsError("nothing to write: say where with --to FILE, or --plot FILE")
    if partition and what == "clusters":
        raise SettingsError("clusters last for many days: --partition day is for posts and counts")
    there = opened_store(store)
    chosen = form_of_export(to, form) if to is not None else None
    posts = Posts(there, vectors=vectors)
    counts = counts_of(posts) if plot is not None or what == "counts" else []
    written = 0
    if to is not None and chosen is not None:
        rows: Any = posts if what == "posts" else counts if what == "counts" else clusters_of(there, hours)
        schema = posts.schema() if what == "posts" else COUNTS_SCHEMA if what == "counts" else None
        written = write_export(rows, to, chosen, schema, by_day=partition is not None, replace=replace)
    if plot is not None:
        _draw(counts, plot)
    if as_json:
        write_json({"what": what, "to": to and str(to), "rows": written, "plot": plot and str(plot)})
        return
    told = ([f"{written:,} rows in {to}"] if to else []) + ([f"a plot in {plot}"] if plot else [])
    print(f"memewax: {', '.join(told)}", file=sys.stderr)


def _check_special(what: What, to: Path, form: str, *, replace: bool, others: bool) -> None:
    """Raise what is wrong with asking for a map or a network."""
    if form == "atlas" and what != "posts":
        raise SettingsError("atlas is a form of posts: memewax export posts --form atlas")
    if form == "gexf" and what == "counts":
        raise SettingsError("gexf is a form of posts and clusters: memewax export clusters --form gexf")
    if others:
        raise SettingsError(f"{form} is one file: leave out --partition and --plot")
    if to.exists() and not replace:
        raise WorldError(f"{to} is there already: name another file, or say --replace")


def _atlas(there: "Store", to: Path, *, vectors: bool) -> dict[str, int]:
    from search.atlas import write_atlas
    from search.cluster_summaries import summaries
    from search.exporting import Posts

    done = write_atlas(Posts(there, vectors=vectors), summaries(there, timedelta(days=1)), to)
    return {"posts": done.posts, "left out": done.left_out}


def _network(there: "Store", to: Path, by: "Party", at_least: int, *, shared: bool) -> dict[str, int]:
    from search.cluster_summaries import summaries
    from search.exporting import Posts
    from search.shared_templates import network_of, write_gexf

    found = summaries(there, timedelta(days=1))
    graph = network_of(Posts(there), found, by, at_least=at_least, shared=shared)
    write_gexf(graph, to)
    return {"nodes": graph.number_of_nodes(), "lines": graph.number_of_edges()}


def _network_of_posts(there: "Store", to: Path) -> dict[str, int]:
    from search.exporting import Posts
    from search.image_network import network_of_posts
    from search.shared_templates import write_gexf

    graph = network_of_posts(Posts(there))
    write_gexf(graph, to)
    return {"nodes": graph.number_of_nodes(), "lines": graph.number_of_edges()}


@needs_extra("bench", "memewax export --plot")
def _draw(counts: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw how many posts a day the largest clusters had."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import MaxNLocator

    if path.suffix.lower() not in {".png", ".svg", ".pdf"}:
        raise SettingsError(f"{path}: a plot is a .png, .svg or .pdf file")
    sizes: Counter[int] = Counter()
    by_day: dict[int, dict[str, int]] = {}
    for row in counts:
        sizes[row["cluster"]] += row["posts"]
        by_day.setdefault(row["cluster"], {})[row["day"]] = row["posts"]
    days = sorted({row["day"] for row in counts})
    figure, axes = plt.subplots(figsize=(10, 5), layout="constrained")
    for cluster, size in sizes.most_common(_PLOTTED):
        axes.plot(days, [by_day[cluster].get(day, 0) for day in days], marker=".", label=f"{cluster} ({size:,} posts)")
    axes.set_ylabel("posts a day")
    axes.xaxis.set_major_locator(MaxNLocator(12))
    axes.tick_params(axis="x", rotation=45)
    if sizes:
        axes.legend(title="cluster", fontsize="small")
    figure.savefig(path, dpi=120)
    plt.close(figure)

"""`memewax export`: posts, clusters and counts of a store as files for other programs."""

import sys
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from core.endings import plural
from core.errors import SettingsError, WorldError
from core.extras import needs_extra
from memewax.commands.corpus_output import AsJson, ReadStore, opened_store, write_json

if TYPE_CHECKING:
    from connectors.store.interface import Store
    from search.shared_templates import Party

What = Literal["posts", "clusters", "counts"]
_PLOTTED: Final = 10
"""Number of clusters in a plot."""
_FORM: Final = (
    "csv, jsonl or parquet; for posts and clusters also gexf, for posts also atlas; by default by the extension."
)
_BY: Final = "With gexf of clusters: who posts: community, author or source."


def export(
    what: Annotated[What, typer.Argument(help="posts, clusters, or counts: posts of each cluster per day.")],
    to: Annotated[Path | None, typer.Option("--to", help="File to write, or with --partition the folder.")] = None,
    store: ReadStore = None,
    form: Annotated[str | None, typer.Option(help=_FORM)] = None,
    partition: Annotated[Literal["day"] | None, typer.Option(help="Write a subfolder day=… for each day.")] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Plot the largest clusters over time to a .png or .svg file.")
    ] = None,
    vectors: Annotated[bool, typer.Option("--vectors", help="Include embeddings.")] = False,
    hours: Annotated[
        float,
        typer.Option(min=0.01, max=876_000, help="With clusters: hours before the newest post that count as recent."),
    ] = 24.0,
    by: Annotated[Literal["community", "author", "source"], typer.Option(help=_BY)] = "community",
    at_least: Annotated[int, typer.Option(min=1, help="With gexf of clusters: minimum posts of a cluster.")] = 2,
    shared: Annotated[
        bool,
        typer.Option(
            "--shared", help="With gexf of clusters: link those who post the same, without nodes for clusters."
        ),
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite an existing file.")] = False,
    as_json: AsJson = False,
) -> None:
    """Export posts, clusters or daily counts of a store, with current clusters. Runs no models."""
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
        raise SettingsError("nothing to write: give --to FILE or --plot FILE")
    if partition and what == "clusters":
        raise SettingsError("clusters span many days: --partition day works for posts and counts only")
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
    done = ([f"{plural(written, 'row')} in {to}"] if to else []) + ([f"a plot in {plot}"] if plot else [])
    print(f"memewax: {', '.join(done)}", file=sys.stderr)


def _check_special(what: What, to: Path, form: str, *, replace: bool, others: bool) -> None:
    """Raise `MemewaxError` if a map or network cannot be written as requested."""
    if form == "atlas" and what != "posts":
        raise SettingsError("atlas is a format of posts only: memewax export posts --form atlas")
    if form == "gexf" and what == "counts":
        raise SettingsError("gexf is a format of posts and clusters only: memewax export clusters --form gexf")
    if others:
        raise SettingsError(f"{form} is one file: leave out --partition and --plot")
    if to.exists() and not replace:
        raise WorldError(f"{to} exists already: name another file, or overwrite it with --replace")


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
    """Plot the posts per day of the largest clusters."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import MaxNLocator

    if path.suffix.lower() not in {".png", ".svg", ".pdf"}:
        raise SettingsError(f"{path}: expected a .png, .svg or .pdf file for the plot")
    sizes: Counter[int] = Counter()
    by_day: dict[int, dict[str, int]] = {}
    for row in counts:
        sizes[row["cluster"]] += row["posts"]
        by_day.setdefault(row["cluster"], {})[row["day"]] = row["posts"]
    days = sorted({row["day"] for row in counts})
    figure, axes = plt.subplots(figsize=(10, 5), layout="constrained")
    for cluster, size in sizes.most_common(_PLOTTED):
        axes.plot(days, [by_day[cluster].get(day, 0) for day in days], marker=".", label=f"{cluster} ({size:,} posts)")
    axes.set_ylabel("posts per day")
    axes.xaxis.set_major_locator(MaxNLocator(12))
    axes.tick_params(axis="x", rotation=45)
    if sizes:
        axes.legend(title="cluster", fontsize="small")
    figure.savefig(path, dpi=120)
    plt.close(figure)

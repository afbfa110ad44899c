"""`memewax clusters`: list meme clusters, show one, and find those that are trending."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from core.endings import plural
from core.errors import SettingsError
from core.untrusted_text import one_line, safe_json
from dataflows.all_settings import load_settings
from memewax.api import MemeStore
from memewax.commands.corpus_output import AsJson, ReadStore, opened_store

if TYPE_CHECKING:
    from search.cluster_summaries import ClusterSummary

_NARROW: Final = 72
"""Terminal columns; narrower terminals get lines of text, which are easier to read there than a table."""

app = typer.Typer(no_args_is_help=True, help="List and show the clusters of a store.")

Window = Annotated[
    float, typer.Option("--hours", min=0.01, max=876_000, help="Hours before the newest post that count as recent.")
]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="Maximum number of clusters.")]


@app.command("list")
def list_clusters(store: ReadStore = None, hours: Window = 24.0, limit: Limit = 20, as_json: AsJson = False) -> None:
    """List clusters, the largest first."""
    there = _opened(store)
    _report(there.clusters(hours), limit, there, as_json, f"{there.address} has no clusters yet")


@app.command()
def trending(store: ReadStore = None, hours: Window = 24.0, limit: Limit = 20, as_json: AsJson = False) -> None:
    """List clusters with more recent posts than before, the statistically most significant rise first."""
    there = _opened(store)
    rising = sorted(
        (cluster for cluster in there.clusters(hours) if cluster.trend > 0),
        key=lambda it: (-it.trend, -it.size, it.cluster),
    )
    _report(rising, limit, there, as_json, f"no cluster is trending over {hours:g} hours")


@app.command()
def show(
    cluster: Annotated[int, typer.Argument(min=0, help="Id of the cluster, or of one that was merged into it.")],
    store: ReadStore = None,
    hours: Window = 24.0,
    as_json: AsJson = False,
) -> None:
    """Show one cluster."""
    there = _opened(store)
    found = there.cluster(cluster, hours)
    if found is None:
        raise SettingsError(
            f"{there.address} has no posts in cluster {cluster}: `memewax clusters list` shows those that exist"
        )
    if as_json:
        _print_json(_plain(found, there))
        return
    for name, value in _plain(found, there).items():
        if name == "exemplars":
            for exemplar in value:
                sys.stdout.write(one_line(f"exemplar    {exemplar['global_id']}  {exemplar['url']}") + "\n")
        else:
            shown = ", ".join(map(str, value)) if isinstance(value, tuple) else value
            sys.stdout.write(one_line(f"{name:<11} {shown}") + "\n")


def _opened(store: str | None) -> MemeStore:
    return MemeStore(opened_store(store), load_settings())


def _plain(found: "ClusterSummary", store: MemeStore) -> dict[str, Any]:
    return {**asdict(found), "exemplars": store.exemplars(found)}


def _report(every: Sequence["ClusterSummary"], limit: int, store: MemeStore, as_json: bool, none: str) -> None:
    found = every[:limit]
    if len(found) < len(every):
        print(f"memewax: {len(found):,} of {plural(len(every), 'cluster')}; raise -n to see more", file=sys.stderr)
    if as_json:
        _print_json({"clusters": [_plain(cluster, store) for cluster in found]})
        return
    if not found:
        print(f"memewax: {none}", file=sys.stderr)
        return
    console = Console()
    if console.width < _NARROW:
        for it in found:
            posts = f"{plural(it.size, 'post')}, {plural(it.duplicates, 'copy', 'copies')}"
            about = f"cluster {it.cluster}: {posts}, trend {it.trend:+.1f}, {it.last_seen:%Y-%m-%d %H:%M}"
            console.print(Text(f"{about}\n  {one_line(' '.join(it.words))}"), soft_wrap=True)
        return
    table = Table(box=None, pad_edge=False)
    for column in ("cluster", "posts", "copies", "posts/h", "trend"):
        table.add_column(column, justify="right")
    table.add_column("last seen")
    table.add_column("words", overflow="fold")
    for it in found:
        numbers = (str(it.cluster), str(it.size), str(it.duplicates), f"{it.rate:.2f}", f"{it.trend:+.1f}")
        table.add_row(*numbers, f"{it.last_seen:%Y-%m-%d %H:%M}", Text(one_line(" ".join(it.words))))
    console.print(table)


def _print_json(value: Any) -> None:
    sys.stdout.write(safe_json(value) + "\n")

"""`memewax demo`: run the real flow on posts with known ground truth, and compare its results with that."""

import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import Annotated, Any, Final

import orjson
import typer
from rich.console import Console

from core.errors import WorldError
from core.extras import needs_extra
from memewax.commands.flow_run import run_flow, summary_of

_MADE: Final = (
    "posts.jsonl",
    "images",
    "truth.json",
    "records.jsonl",
    "dead-letters.jsonl",
    "store",
    "recovery",
    "index.html",
    "demo.json",
)
"""Names of all files and folders that a demo leaves in its folder."""
_NOTE: Final = "demo.json"
"""File that lists the generated files and their sizes."""
_WRITTEN: Final = frozenset({"records.jsonl", "dead-letters.jsonl", "store", "recovery", "index.html", _NOTE})
"""Names of what the flow and the page write in addition to the generated input."""
_TO: Final = "Folder for posts, store and page; replaces an earlier demo in it."


@needs_extra("demo", "memewax demo")
def demo(
    to: Annotated[Path, typer.Option(help=_TO)] = Path("demo"),
    processes: Annotated[int | None, typer.Option(help="Number of processes; they share the cores.", min=1)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Generate about sixty posts, analyse them, and compare the results with the truth. Takes a minute or two."""
    # Imported late: no other command needs these measures and images.
    from memewax.demo import load_truth, make_posts, summarise, tables, write_page
    from search.cluster_summaries import merges_of

    _clear(to)
    console = Console(file=sys.stderr, highlight=False)
    console.print(f"memewax: generating posts in {to}")
    posts = make_posts(to)
    _note_made_files(to)
    records, dead_letters = to / "records.jsonl", to / "dead-letters.jsonl"
    overrides: dict[str, Any] = {
        "retry_wait_seconds": 0.0,  # a retry would not mend its broken images
        "source": str(posts),
        "to": (str(to / "store"), str(records)),
        "dead_letters": str(dead_letters),
        "processes": processes or 1,
    }
    console.print("memewax: loading models, then reading the posts")
    ended, _ = run_flow(overrides, to / "recovery", 10.0)
    if ended.drained:
        console.print("memewax: stopped before all posts were read; run the same command to start over")
        raise typer.Exit(130)
    merges = merges_of(to / "store")
    rows = [{**row, "cluster": merges.resolve(row["cluster"])} for row in _lines(records)]
    dead, truth = _lines(dead_letters), load_truth(to)
    summary = summarise(rows, dead, truth, seconds=ended.seconds)
    page = write_page(to / "index.html", summary, rows=rows, dead_letters=dead, truth=truth, folder=to)
    if as_json:
        report = {"run": asdict(summary_of(ended)), "found": summary.to_dict(), "page": str(page)}
        sys.stdout.write(orjson.dumps(report).decode() + "\n")
        return
    out = Console()
    for table in tables(summary):
        out.print(table)
    out.print(f"\nThe images by cluster: [bold]{page.resolve()}[/bold]", soft_wrap=True)
    out.print(f"The store, for any reader of LanceDB: [bold]{(to / 'store').resolve()}[/bold]", soft_wrap=True)
    out.print("\nWhat to try next:")
    for command in next_commands(to):
        out.print(f"  {command}", soft_wrap=True, markup=False, highlight=False)


def next_commands(folder: Path) -> tuple[str, ...]:
    """Return three commands to try on the results of a demo in `folder`."""
    store, again = quote(str(folder / "store")), quote(str(folder.with_name(f"{folder.name}-again.jsonl")))
    return (
        f"memewax clusters list --store {store}",
        f'memewax ask "something about space" --corpus posts --store {store}',
        f"memewax run --from {quote(str(folder / 'images'))} --to {again}",
    )


def _clear(folder: Path) -> None:
    """Create the folder, or delete an earlier demo from it; raises `WorldError` if it holds anything else."""
    if folder.exists() and not folder.is_dir():
        raise WorldError(f"{folder} is a file: name a folder with --to")
    found = {path.name for path in folder.iterdir()} if folder.exists() else set()
    if others := found - set(_MADE):
        named = ", ".join(sorted(others)[:3])
        raise WorldError(f"{folder} holds files that no demo made ({named}): name another folder with --to")
    if found:
        _check_own(folder)
    try:
        for name in found:
            path = folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WorldError(f"{error.filename}: {error.strerror}") from None


def _note_made_files(folder: Path) -> None:
    """Save the names and sizes of the generated files, so that nothing else is ever deleted."""
    sizes = {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    (folder / _NOTE).write_bytes(orjson.dumps(sizes))


def _check_own(folder: Path) -> None:
    """Raise `WorldError` if a folder holds files that are not in the note of a demo."""
    try:
        sizes = orjson.loads((folder / _NOTE).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        raise WorldError(
            f"{folder} holds files that no demo made: name another folder with --to, or empty it"
        ) from None
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        is_written = name.partition("/")[0] in _WRITTEN
        if path.is_file() and not is_written and sizes.get(name) != path.stat().st_size:
            raise WorldError(
                f"{path} was not made by a demo, or was changed since, and would be deleted: move it elsewhere"
            )


def _lines(path: Path) -> list[dict[str, Any]]:
    with path.open("rb") as lines:
        return [orjson.loads(line) for line in lines]

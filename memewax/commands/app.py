"""The `memewax` command."""

import sys

import typer

from memewax import __version__
from memewax.commands import bench, clusters, corpus, topics
from memewax.commands import eval as evaluate
from memewax.commands.ask import ask
from memewax.commands.demo import demo
from memewax.commands.doctor import doctor
from memewax.commands.ingest import ingest
from memewax.commands.run import run
from memewax.commands.serve import serve
from memewax.commands.settings import settings
from memewax.errors import MemewaxError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Understanding streams of images with text, live.",
)
app.command()(demo)
app.command()(run)
app.command()(serve)
app.command()(ask)
app.command()(ingest)
app.add_typer(bench.app, name="bench")
app.add_typer(clusters.app, name="clusters")
app.add_typer(corpus.app, name="corpus")
app.add_typer(evaluate.app, name="eval")
app.add_typer(topics.app, name="topics")
app.command()(doctor)
app.command()(settings)


@app.callback(invoke_without_command=True)
def _version(version: bool = typer.Option(False, "--version", help="Print the version and end.")) -> None:
    if version:
        sys.stdout.write(f"memewax {__version__}\n")
        raise typer.Exit


def main() -> None:
    """Run the command; an error of ours is one line and its exit code."""
    try:
        app()
    except MemewaxError as error:
        print(f"memewax: {error}", file=sys.stderr)
        sys.exit(error.exit_code)

"""The `memewax` command."""

import os
import sys
from io import TextIOWrapper

import typer

from core.errors import MemewaxError, SettingsError, WorldError
from core.telemetry import quieten_libraries
from core.untrusted_text import sanitized
from memewax import __version__
from memewax.commands import bench, clusters, dead_letters, topics
from memewax.commands import corpus_command as corpus
from memewax.commands import eval as evaluate
from memewax.commands import kubernetes_command as kubernetes
from memewax.commands import recovery_command as recovery
from memewax.commands import store_command as store
from memewax.commands.ask import ask
from memewax.commands.demo import demo
from memewax.commands.doctor import doctor
from memewax.commands.export import export
from memewax.commands.forget import forget
from memewax.commands.full_help import FullHelp
from memewax.commands.ingest_command import ingest
from memewax.commands.inspect_command import inspect
from memewax.commands.page_command import page
from memewax.commands.profile_command import profile
from memewax.commands.run import run
from memewax.commands.serve import serve
from memewax.commands.settings_command import settings
from memewax.commands.sql_command import sql

app = typer.Typer(
    cls=FullHelp,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich tables truncate long words such as kafka://HOST:PORT/TOPIC
    help="Analyse live streams of posts with images and text.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(demo)
app.command()(run)
app.command()(serve)
app.command()(ask)
app.command()(ingest)
app.command()(inspect)
app.command()(export)
app.command()(sql)
app.command()(page)
app.command()(forget)
app.add_typer(bench.app, name="bench", cls=FullHelp)
app.add_typer(clusters.app, name="clusters", cls=FullHelp)
app.add_typer(corpus.app, name="corpus", cls=FullHelp)
app.add_typer(dead_letters.app, name="dead-letters", cls=FullHelp)
app.add_typer(evaluate.app, name="eval", cls=FullHelp)
app.add_typer(kubernetes.app, name="kubernetes", cls=FullHelp)
app.add_typer(recovery.app, name="recovery", cls=FullHelp)
app.add_typer(store.app, name="store", cls=FullHelp)
app.add_typer(topics.app, name="topics", cls=FullHelp)
app.command()(doctor)
app.command()(profile)
app.command()(settings)


@app.callback(invoke_without_command=True)
def _version(version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    if version:
        sys.stdout.write(f"memewax {__version__}\n")
        raise typer.Exit


def _with_options(words: list[str]) -> list[str]:
    """Translate `help`, `help COMMAND` and `version` into options, since people type them like commands."""
    if words[:1] == ["help"]:
        return [*words[1:], "--help"]
    return ["--version"] if words == ["version"] else words


def main() -> None:
    """Run the command; report an expected error in one line and exit with its code."""
    quieten_libraries()
    if sys.stdout is None:
        print("memewax: stdout is closed: redirect it to a file or to /dev/null", file=sys.stderr)
        sys.exit(SettingsError.exit_code)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a character that the terminal cannot show must not end the command
            stream.reconfigure(errors="replace")
    try:
        try:
            app(_with_options(sys.argv[1:]))
        finally:
            sys.stdout.flush()  # report a failed write here; the interpreter would report it at exit
    except MemewaxError as error:
        print(sanitized(f"memewax: {error}"), file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # the reader has closed the pipe, like `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        print(f"memewax: {error.filename or 'output'}: {error.strerror or error}", file=sys.stderr)
        sys.exit(WorldError.exit_code)

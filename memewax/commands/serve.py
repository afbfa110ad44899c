"""`memewax serve`: answer a stream of queries with the nearest texts or posts."""

import sys
import time
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer

from connectors.endpoint import Endpoint
from connectors.endpoints import ANSWERS_TO, QUERIES_FROM
from connectors.sinks.owned_files import OwnedFiles
from connectors.writer_locks import ANSWERS, all_locked, lock_files
from core.counts import RunCounts
from core.endings import answered, answers_ending
from core.errors import SettingsError
from dataflows.all_settings import load_settings
from memewax.commands.corpus_output import folder_named
from memewax.commands.progress import Progress
from memewax.commands.recovery import is_known, prepare_recovery
from memewax.commands.supervise import Job, run_job

SNAPSHOT_SECONDS: Final = 10.0


class QueryProgress(Progress):
    """Shows how many queries were answered, and how many with an error."""

    def __init__(self) -> None:
        super().__init__("messages")
        self._began = time.monotonic()

    def has_begun(self, counts: RunCounts) -> bool:
        """Check whether the first query has been processed."""
        return counts.queries > 0

    def line(self, counts: RunCounts, now: float) -> str:
        """Return a line with answers, errors and elapsed time."""
        return f"{answered(counts)} · {now - self._began:,.0f} s"


def serve(
    queries: Annotated[str | None, typer.Option("--from", help=f"{QUERIES_FROM.help}.")] = None,
    answers: Annotated[
        str | None, typer.Option("--to", help=f"{ANSWERS_TO.help}, in addition to the table of answers.")
    ] = None,
    store: Annotated[
        Path | None, typer.Option(help="Store with the corpora and the table of answers.", parser=folder_named)
    ] = None,
    corpus: Annotated[str | None, typer.Option(help="Default corpus, for queries that name none.")] = None,
    recovery: Annotated[Path | None, typer.Option(help="Folder of snapshots; by default beside the store.")] = None,
    snapshot_interval: Annotated[float, typer.Option(help="Seconds between snapshots.", min=0.1)] = SNAPSHOT_SECONDS,
    processes: Annotated[
        int | None, typer.Option(help="Number of processes; they share partitions and cores.", min=1)
    ] = None,
    follow: Annotated[
        bool | None, typer.Option(help="Wait for more queries at the end of the source, or end there.")
    ] = None,
    first_version: Annotated[
        bool, typer.Option("--first-version", help="Use the messages and table of version 1: {sentence_to_encode}.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout at the end.")] = False,
) -> None:
    """Answer queries from a topic with the nearest texts of a corpus; resumes where it was stopped or killed."""
    given: dict[str, Any] = {
        "queries": queries,
        "answers": answers,
        "store": store,
        "corpus": corpus,
        "processes": processes,
        "follow": follow,
        "queries_form": "first-version" if first_version else None,
    }
    overrides = {name: value for name, value in given.items() if value is not None}
    settings = load_settings(**overrides)
    if not settings.queries:
        raise SettingsError("no queries: give their address with --from (or MEMEWAX_QUERIES)")
    places = settings.written()
    folder = recovery or settings.store.with_name(f"{settings.store.name}.queries-recovery")
    with all_locked(lock_files(places, ANSWERS)) as locks:
        prepare_recovery(folder)
        for it in places:
            _check_own(it, folder)
        job = Job("similarity", overrides, folder, snapshot_interval, settings.processes)
        with QueryProgress() as progress:
            ended = run_job(job, progress.show, progress.log, locks)
    counts = ended.counts
    if as_json:
        report = {
            "queries": counts.queries,
            "answers": counts.answers,
            "errors": counts.answer_errors,
            "seconds": round(ended.seconds, 3),
        }
        sys.stdout.write(orjson.dumps(report).decode() + "\n")
    for line in answers_ending(counts, ended.seconds).lines:
        print(f"memewax: {line}", file=sys.stderr)


def _check_own(place: Endpoint[Any], recovery: Path) -> None:
    """Refuse a file that another program wrote now, rather than in the sink after models are loaded."""
    if place.path is not None and place.path.is_file() and not is_known(recovery, place):
        OwnedFiles(recovery).check(place.path, place.path.stat().st_size, 0)

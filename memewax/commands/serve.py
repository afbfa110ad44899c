"""`memewax serve`: queries in, nearest posts out."""

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
    """Shows how many queries were answered."""

    def __init__(self) -> None:
        super().__init__("messages")
        self._began = time.monotonic()

    def has_begun(self, counts: RunCounts) -> bool:
        """Whether models are loaded and work has come."""
        return counts.queries > 0

    def line(self, counts: RunCounts, now: float) -> str:
        """Answers, those that say why there is none, and time, in words."""
        return f"{answered(counts)} · {now - self._began:,.0f} s"


def serve(
    queries: Annotated[str | None, typer.Option("--from", help=f"{QUERIES_FROM.help}.")] = None,
    answers: Annotated[str | None, typer.Option("--to", help=f"{ANSWERS_TO.help}, beside the table.")] = None,
    store: Annotated[
        Path | None, typer.Option(help="Folder of the corpora, and of the table of answers.", parser=folder_named)
    ] = None,
    corpus: Annotated[str | None, typer.Option(help="Corpus for queries that name none.")] = None,
    recovery: Annotated[Path | None, typer.Option(help="Folder of snapshots; by default beside the store.")] = None,
    snapshot_interval: Annotated[float, typer.Option(help="Seconds between snapshots.", min=0.1)] = SNAPSHOT_SECONDS,
    processes: Annotated[int | None, typer.Option(help="Processes, which share partitions and cores.", min=1)] = None,
    follow: Annotated[bool | None, typer.Option(help="Whether to wait for more at the end of the source.")] = None,
    first_version: Annotated[
        bool, typer.Option("--first-version", help="Bodies and table of the first version: {sentence_to_encode}.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object on stdout.")] = False,
) -> None:
    """Answer queries from a topic with the nearest texts of a corpus; goes on where it was stopped or killed."""
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
        raise SettingsError("no queries: say where they come from with --from (or MEMEWAX_QUERIES)")
    places = settings.written()
    folder = recovery or settings.store.with_name(f"{settings.store.name}.queries-recovery")
    with all_locked(lock_files(places, ANSWERS)) as locks:
        prepare_recovery(folder)
        for it in places:
            _check_own(it, folder)
        job = Job("similarity", overrides, folder, snapshot_interval, settings.processes)
        with QueryProgress() as progress:
            ended = run_job(job, progress.show, progress.tell, locks)
    counts = ended.counts
    if as_json:
        report = {
            "queries": counts.queries,
            "answers": counts.answers,
            "errors": counts.answer_errors,
            "seconds": round(ended.seconds, 3),
        }
        sys.stdout.write(orjson.dumps(report).decode() + "\n")
    for told in answers_ending(counts, ended.seconds).lines:
        print(f"memewax: {told}", file=sys.stderr)


def _check_own(place: Endpoint[Any], recovery: Path) -> None:
    """Say before models are loaded what the sink would: that a file is somebody else's."""
    if place.path is not None and place.path.is_file() and not is_known(recovery, place):
        OwnedFiles(recovery).check(place.path, place.path.stat().st_size, 0)

"""`memewax ingest`: poll a service such as Reddit for new posts, into a topic or file."""

import sys
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, ClassVar, Final

import typer

from connectors.chosen_endpoints import source_of
from connectors.endpoints import DEAD_LETTERS_TO, POSTS_TO, SERVICES, endpoint
from core.counts import RunCounts
from core.endings import ingest_ending, plural
from core.untrusted_text import one_line, safe_json
from dataflows.all_settings import load_settings
from memewax.commands.flow_run import run_flow
from memewax.commands.progress import Progress
from memewax.commands.run import SNAPSHOT_SECONDS
from memewax.commands.supervise import Ended

_NAMES: Final = " ".join(f"{service.name}: {service.names_help}." for service in SERVICES.values())
_TO: Final = f"{POSTS_TO.help}; repeat it for several."
_DEAD: Final = f"{DEAD_LETTERS_TO.help}; by default beside the first sink."
_RECOVERY: Final = "Recovery folder, which stores what was seen; by default beside the first sink."
_PAGES: Final = "Number of pages to read, whatever was seen; by default read until nothing is new."
_FOLLOW: Final = "Keep polling every MEMEWAX_POLL_INTERVAL_SECONDS; by default poll once."


ServiceName = StrEnum("ServiceName", {name.upper(): name for name in SERVICES})  # type: ignore[misc]  # read from a list
"""A service that can be polled."""


@dataclass(frozen=True, slots=True)
class IngestSummary:
    """Counts of one run, from start to end."""

    posts: int
    """Posts written to each sink."""
    skipped: dict[str, int]
    """Listed items that are not posts, by reason."""
    dead_letters: int
    requests: int
    seconds: float


class IngestProgress(Progress):
    """Shows the progress of ingest, which runs no models."""

    idle: ClassVar[str] = "polling …"

    def line(self, counts: RunCounts, now: float) -> str:
        """Return a line with posts, rate, skipped items and dead letters."""
        skipped = sum(counts.skipped.values())
        return (
            f"{plural(counts.posts, 'post')} · {self.rate(counts.posts, now)} a second · {skipped:,} skipped · "
            f"{plural(counts.dead_letters, 'dead letter')} · {self.elapsed(now)} s"
        )


def ingest(
    service: Annotated[ServiceName, typer.Argument(help="Service to poll.")],
    names: Annotated[list[str], typer.Argument(help=_NAMES)],
    to: Annotated[list[str] | None, typer.Option("--to", help=_TO)] = None,
    dead_letters: Annotated[str | None, typer.Option(help=_DEAD)] = None,
    recovery: Annotated[Path | None, typer.Option(help=_RECOVERY)] = None,
    snapshot_interval: Annotated[float, typer.Option(help="Seconds between snapshots.", min=0.1)] = SNAPSHOT_SECONDS,
    pages: Annotated[int | None, typer.Option(help=_PAGES, min=1)] = None,
    follow: Annotated[bool, typer.Option("--follow", help=_FOLLOW)] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout at the end.")] = False,
) -> None:
    """Ingest posts that are new since the last run from a service; resumes where it was stopped or killed."""
    source = f"{service.value}:{'+'.join(names)}"
    given = {"to": to, "dead_letters": dead_letters, "poll_pages": pages}
    overrides = {name: value for name, value in given.items() if value is not None}
    overrides |= {"source": source, "follow": follow, "processes": 1}
    settings = load_settings(**overrides)
    source_of(settings)  # report wrong keys and names before anything is created
    if all(
        endpoint(address, POSTS_TO).path is None for address in settings.to
    ):  # two services may be ingested from one working directory
        recovery = recovery or Path(f"ingest-{service.value}.recovery")
        if not settings.dead_letters:
            overrides["dead_letters"] = f"ingest-{service.value}.dead-letters.jsonl"
    ended, folder = run_flow(overrides, recovery, snapshot_interval, "ingest", IngestProgress)
    summary = summary_of(ended)
    if as_json:
        sys.stdout.write(safe_json(asdict(summary)) + "\n")
    for line in ingest_ending(ended.counts, ended.seconds, folder).lines:
        print(one_line(f"memewax: {line}"), file=sys.stderr)


def summary_of(ended: Ended) -> IngestSummary:
    """Summarise the counts of a run."""
    counts = ended.counts
    return IngestSummary(
        posts=counts.posts,
        skipped=counts.skipped,
        dead_letters=counts.dead_letters,
        requests=counts.requests,
        seconds=round(ended.seconds, 3),
    )

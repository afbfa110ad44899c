"""`memewax ingest`: new posts of Reddit, Imgur or Tumblr into a topic or a file."""

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
_TO: Final = f"{POSTS_TO.help}; as often as you like."
_DEAD: Final = f"{DEAD_LETTERS_TO.help}; by default beside the first sink."
_RECOVERY: Final = "Folder that remembers what was seen; by default beside the first sink."
_PAGES: Final = "So many pages back, whatever was seen; without it, as far as something is new."
_FOLLOW: Final = "Go on asking every MEMEWAX_POLL_INTERVAL_SECONDS; without it, one round is all."


ServiceName = StrEnum("ServiceName", {name.upper(): name for name in SERVICES})  # type: ignore[misc]  # read from a list
"""A service that can be polled."""


@dataclass(frozen=True, slots=True)
class IngestSummary:
    """What a run did, from its start to its end."""

    posts: int
    """Written, to each sink."""
    skipped: dict[str, int]
    """What was listed and is no post, by reason."""
    dead_letters: int
    requests: int
    seconds: float


class IngestProgress(Progress):
    """Shows what was taken in, while nothing is looked at."""

    idle: ClassVar[str] = "asking …"

    def line(self, counts: RunCounts, now: float) -> str:
        """Posts, rate, and what was left out, in words."""
        skipped = sum(counts.skipped.values())
        return (
            f"{plural(counts.posts, 'post')} · {self.rate(counts.posts, now)} a second · {skipped:,} skipped · "
            f"{plural(counts.dead_letters, 'dead letter')} · {self.elapsed(now)} s"
        )


def ingest(
    service: Annotated[ServiceName, typer.Argument(help="Which service.")],
    names: Annotated[list[str], typer.Argument(help=_NAMES)],
    to: Annotated[list[str] | None, typer.Option("--to", help=_TO)] = None,
    dead_letters: Annotated[str | None, typer.Option(help=_DEAD)] = None,
    recovery: Annotated[Path | None, typer.Option(help=_RECOVERY)] = None,
    snapshot_interval: Annotated[float, typer.Option(help="Seconds between snapshots.", min=0.1)] = SNAPSHOT_SECONDS,
    pages: Annotated[int | None, typer.Option(help=_PAGES, min=1)] = None,
    follow: Annotated[bool, typer.Option("--follow", help=_FOLLOW)] = False,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object on stdout.")] = False,
) -> None:
    """Take in posts that are new since the last run, from a service; goes on where it was stopped or killed."""
    source = f"{service.value}:{'+'.join(names)}"
    given = {"to": to, "dead_letters": dead_letters, "poll_pages": pages}
    overrides = {name: value for name, value in given.items() if value is not None}
    overrides |= {"source": source, "follow": follow, "processes": 1}
    settings = load_settings(**overrides)
    source_of(settings)  # what is wrong with keys and names is said before anything is made
    if all(
        endpoint(address, POSTS_TO).path is None for address in settings.to
    ):  # two services may be taken in from one folder
        recovery = recovery or Path(f"ingest-{service.value}.recovery")
        if not settings.dead_letters:
            overrides["dead_letters"] = f"ingest-{service.value}.dead-letters.jsonl"
    ended, folder = run_flow(overrides, recovery, snapshot_interval, "ingest", IngestProgress)
    summary = summary_of(ended)
    if as_json:
        sys.stdout.write(safe_json(asdict(summary)) + "\n")
    for told in ingest_ending(ended.counts, ended.seconds, folder).lines:
        print(one_line(f"memewax: {told}"), file=sys.stderr)


def summary_of(ended: Ended) -> IngestSummary:
    """The figures of a run."""
    counts = ended.counts
    return IngestSummary(
        posts=counts.posts,
        skipped=counts.skipped,
        dead_letters=counts.dead_letters,
        requests=counts.requests,
        seconds=round(ended.seconds, 3),
    )

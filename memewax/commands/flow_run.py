"""Runs a flow to its end with recovery folder, locks and progress; shared by `run`, `ingest`, `demo` and others."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from connectors.chosen_endpoints import Destinations, check_source, sources_of
from connectors.control.control_log import FOLDER
from connectors.control.flow_note import noted_flow
from connectors.endpoint import Endpoint
from connectors.endpoints import POSTS_TO, RECORDS_TO
from connectors.part_names import is_moved
from connectors.writer_locks import all_locked, lock_files
from core.errors import MemewaxError, SettingsError
from dataflows.all_settings import load_settings
from memewax.commands.leftovers import Leftovers
from memewax.commands.progress import Progress
from memewax.commands.recovery import is_known, is_prepared, prepare_recovery
from memewax.commands.supervise import Ended, FlowError, Job, run_job
from operators.control_input import mark_done
from operators.recovery_check import check_recovery


@dataclass(frozen=True, slots=True)
class RunSummary:
    """Counts of one run, from start to end."""

    posts: int
    """Valid posts, each counted once."""
    joined: int
    """Records for which every stage had a result, even if a failure."""
    partial: int
    """Records written at the deadline without the result of some stage."""
    updated: int
    """Records written again as a later revision."""
    retry_waiting: int
    """Posts whose image the next run will retry to fetch."""
    dead_letters: int
    clusters: int
    """Clusters alive at the end."""
    seconds: float
    posts_per_second: float


def run_flow(
    overrides: Mapping[str, Any],
    recovery: Path | None,
    snapshot_seconds: float,
    flow: str = "memes",
    watch: type[Progress] = Progress,
) -> tuple[Ended, Path]:
    """Run a flow with progress; return its result and its recovery folder.

    Args:
        overrides: Settings that override environment variables and file.
        recovery: Folder of snapshots; by default beside the first sink.
        snapshot_seconds: Time between snapshots.
        flow: A module of `dataflows`.
        watch: Class that shows the progress.

    Raises:
        MemewaxError: If settings are missing or wrong, a place is in use, or the flow fails.
    """
    settings = load_settings(**overrides)
    if not settings.source:
        raise SettingsError("no source: give the address of posts with --from (or MEMEWAX_SOURCE)")
    if not settings.to:
        raise SettingsError("no sink: give the address for records with --to (or MEMEWAX_TO)")
    destinations = Destinations.of(settings, POSTS_TO if flow == "ingest" else RECORDS_TO)
    check_source(settings)
    recovery = recovery or settings.recovery
    folder = recovery or destinations.path_beside("recovery")
    state_dir = settings.state_dir
    if recovery is not None and state_dir is None:
        state_dir = recovery.with_name(f"{recovery.stem}.state")
        overrides = {**overrides, "state_dir": state_dir}
    is_first = not is_prepared(folder)
    for it in _added(destinations, folder):
        print(f"memewax: {it.address} is new to this flow: it receives records from now on", file=sys.stderr)
    with _prepared(destinations, folder, state_dir) as locks:
        job = Job(flow, overrides, folder, snapshot_seconds, settings.processes)
        units = {it.lag_unit for it in sources_of(settings)}
        with watch(units.pop() if len(units) == 1 else "messages and bytes") as progress:
            ended = run_job(job, progress.show, progress.log, locks)
        mark_done([it / FOLDER for it in destinations.states(state_dir)], folder)
    return replace(ended, is_first=is_first), folder


@contextmanager
def _prepared(destinations: Destinations, recovery: Path, state_dir: Path | None) -> Iterator[list[int]]:
    """Lock and prepare everything that the flow writes; yield the file descriptors of the locks."""

    def prepare() -> None:
        if noted_flow(recovery) is not None and not is_prepared(
            recovery
        ):  # a flow ran here, but a recovery partition is missing
            check_recovery(recovery)
        for it in destinations.all():
            it.prepare(recovery, goes_on=is_prepared(recovery) and is_known(recovery, it))

    files = lock_files(destinations.all())
    there = {file: busy for file, busy in files.items() if file.exists()}
    with all_locked(there) as locks:
        leftovers = Leftovers(destinations, recovery, state_dir)
        prepare()
        with all_locked({file: busy for file, busy in files.items() if file not in there}) as more:
            try:
                prepare()  # another run may have written before these locks were taken
                prepare_recovery(recovery)
                yield [*locks, *more]
            except MemewaxError as error:
                if not isinstance(error, FlowError) or not error.has_read:
                    leftovers.remove()
                raise


def _added(destinations: Destinations, recovery: Path) -> list[Endpoint[Any]]:
    """Return the sinks that are new to the flow of a recovery folder; none if the folder has no note of its flow."""
    noted = noted_flow(recovery)
    if noted is None:
        return []
    # Compare addresses, not endpoints: a former sink may no longer exist.
    known = [str(Path(it).resolve()) if it.startswith(os.sep) else it for it in noted["to"]]

    def is_new(it: Endpoint[Any]) -> bool:
        moved = it.path is not None and any(is_moved(Path(place), it.path.resolve()) for place in known)
        return it.place not in known and not moved

    return [it for it in destinations.sinks if is_new(it)]


def summary_of(ended: Ended) -> RunSummary:
    """Summarise the counts of a run."""
    counts = ended.counts
    rate = counts.posts / ended.seconds if ended.seconds else 0.0
    return RunSummary(
        posts=counts.posts,
        joined=counts.joined,
        partial=counts.partial,
        updated=counts.updated,
        retry_waiting=counts.retry_waiting,
        dead_letters=counts.dead_letters,
        clusters=counts.clusters,
        seconds=round(ended.seconds, 3),
        posts_per_second=round(rate, 3),
    )

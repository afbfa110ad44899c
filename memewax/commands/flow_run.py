"""Runs a flow to its end, with its recovery folder and progress: what `run`, `demo` and `bench` share."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from connectors.endpoints import is_file, is_kafka, is_service
from core.errors import SettingsError, WorldError
from dataflows.all_settings import load_settings
from memewax.commands.progress import Progress
from memewax.commands.recovery import is_prepared, prepare_recovery
from memewax.commands.supervise import Ended, Job, run_job


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run did, from its start to its end."""

    posts: int
    """Valid posts, each counted once."""
    joined: int
    """Records for which every side had answered, be it with a failure."""
    partial: int
    """Records that went out at the deadline without some side."""
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
    """Run a flow with progress; gives what it did and its recovery folder.

    Args:
        overrides: Settings that differ from variables and file.
        recovery: Folder of snapshots; beside the first sink where None.
        snapshot_seconds: Time between snapshots.
        flow: A module of `dataflows`.
        watch: Shows its progress.
    """
    from operators.posts_input import check_source  # late, since it brings the engine

    settings = load_settings(**overrides)
    if not settings.source:
        raise SettingsError("no source: say where posts come from with --from (or MEMEWAX_SOURCE)")
    if not settings.to:
        raise SettingsError("no sink: say where records go with --to (or MEMEWAX_TO)")
    check_source(settings)
    folder = recovery or settings.beside("recovery")
    for address in (*settings.to, settings.dead_letters_to):
        if not is_kafka(address):
            _prepare_output(Path(address), folder, goes_on=is_prepared(folder))
    prepare_recovery(folder)
    job = Job(flow, overrides, folder, snapshot_seconds, settings.processes)
    unit = "messages" if is_kafka(settings.source) or is_service(settings.source) else "bytes"
    with watch(unit) as progress:
        return run_job(job, progress.show, progress.tell), folder


def summary_of(ended: Ended) -> Summary:
    """The figures of a run."""
    counts = ended.counts
    rate = counts.posts / ended.seconds if ended.seconds else 0.0
    return Summary(
        posts=counts.posts,
        joined=counts.joined,
        partial=counts.partial,
        dead_letters=counts.dead_letters,
        clusters=counts.clusters,
        seconds=round(ended.seconds, 3),
        posts_per_second=round(rate, 3),
    )


def _prepare_output(path: Path, recovery: Path, *, goes_on: bool) -> None:
    """Neither overwrite what is somebody else's nor go on where what was written is gone."""
    if goes_on:
        if not path.exists():
            raise WorldError(
                f"{path} is not there, and {recovery} goes on after posts already done: delete it to begin anew"
            )
        return
    if is_file(str(path)) and path.exists() and path.stat().st_size:
        raise WorldError(f"{path} is there already and would begin anew: move it away, or name its --recovery folder")
    try:
        (path.parent if is_file(str(path)) else path).mkdir(parents=True, exist_ok=True)
        if is_file(str(path)):
            path.touch()
    except OSError as error:
        raise WorldError(f"{path}: {error.strerror}") from None

"""The status of the flows that write a store, as a table or as JSON."""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from connectors.store.store_folder import store_below
from core.errors import WorldError
from core.status import FOLDER, ProcessStatus, StatusReport, read_status
from memewax.commands.corpus_output import print_rows, write_json


def status_in(named: Path) -> StatusReport:
    """Read the status of the flows of a store or a `state_dir`; raises `WorldError` if no flow has run there."""
    found = next((it / FOLDER for it in (named, store_below(named)) if (it / FOLDER).is_dir()), None)
    if found is None:
        raise WorldError(
            f"{named} has no folder {FOLDER}/, so no flow has written there: name a store or MEMEWAX_STATE_DIR"
        )
    return read_status(found)


def print_status(named: Path, *, as_json: bool) -> None:
    """Print the status of the flows of a store.

    Raises:
        WorldError: If no flow has run, one has vanished or failed, or a file cannot be read.
    """
    report = status_in(named)
    if as_json:
        flows = [{**asdict(it), "processes": [_json(process) for process in it.processes]} for it in report.flows]
        write_json({"store": str(named), "flows": flows, "problems": report.problems})
    else:
        for it in report.flows:
            print(it.line)
            print_rows(_COLUMNS, [_row(process) for process in it.processes])
    wrong = [it.line for it in report.flows if it.missing or it.state in {"gone", "failed"}]
    if wrong or report.problems:
        raise WorldError("; ".join([*wrong, *report.problems]))


_COLUMNS = [
    "process",
    "state",
    "host",
    "pid",
    "updated",
    "posts/s",
    "posts",
    "dead letters",
    "lag",
    "waiting",
    "MB",
    "port",
]


def _row(it: ProcessStatus) -> list[Any]:
    counts = it.run_counts
    waiting = ", ".join(f"{name} {count:,}" for name, count in it.queues.items() if count)
    return [
        it.process,
        it.state,
        it.host,
        str(it.pid),
        f"{it.age(datetime.now(UTC)):,.0f} s ago",
        f"{it.rates.get('posts', 0.0) + it.rates.get('queries', 0.0):,.1f}",
        counts.posts or counts.queries,
        counts.dead_letters or counts.answer_errors,
        it.lag,
        waiting,
        round(it.memory_bytes / 1e6),
        str(it.health_port or ""),
    ]


def _json(it: ProcessStatus) -> dict[str, Any]:
    return it.model_dump(mode="json")

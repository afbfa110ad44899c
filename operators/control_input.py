"""The source of requests: the control logs of the flow's stores, read from a position that is part of each snapshot.

A step that executes one kind of request takes `asked(…, requests, kind)`. A request is marked as done once an epoch
later than its own has begun: its snapshot is then durable, and with it all effects of the request in the steps
(`tests/operators/test_scheduling.py` verifies that Bytewax does this).
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from bytewax.dataflow import Dataflow, Stream, operator
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from connectors.chosen_endpoints import Destinations
from connectors.control.control_log import FOLDER, ControlLog, Request
from connectors.control.request_kinds import FORGET, RequestKind, deletes_in
from core import drain
from core.records import Removal
from core.telemetry import log
from operators.operator_settings import OutputSettings
from operators.recovered import states_of
from operators.scheduling import OpenParts
from operators.steps import map_batch, read, reported

_PART: Final = "control"
_IDLE: Final = timedelta(milliseconds=50)
_MOST: Final = 16
"""Maximum requests in one batch."""
_MOST_OPEN: Final = 1000
_DONE: Final = "done by the flow"


@operator
def control_in(step_id: str, flow: Dataflow, settings: OutputSettings, open_parts: OpenParts) -> Stream[Request]:
    """Read requests for as long as this process has open partitions of the posts."""
    destinations = Destinations.of(settings)
    folders = [folder / FOLDER for folder in destinations.states(settings.state_dir)]
    return read("input", flow, ControlSource(folders, open_parts.are_over))


def mark_done(folders: Sequence[Path], recovery: Path) -> None:
    """Mark requests as done in the logs of `folders`, as the snapshots of a flow that has ended say."""
    for state in states_of(recovery, "memes.control.input").values():
        _mark_done([ControlLog(folder) for folder in folders], state["done"])


@operator
def asked(step_id: str, requests: Stream[Request], kind: RequestKind) -> Stream[Request]:
    """Select the requests of one kind."""
    return map_batch("kind", requests, lambda batch: [it for it in batch if it.kind == kind.name])


def asked_to_forget(settings: OutputSettings) -> Callable[[], list[Removal]]:
    """Return a function that lists the deletes of all open requests: a source keeps posts that no request reaches."""
    logs = [ControlLog(folder / FOLDER) for folder in Destinations.of(settings).states(settings.state_dir)]

    def open_now() -> list[Removal]:
        requests = (it for log_ in logs for it in log_.open_after(0, _MOST_OPEN))
        return [removal for it in requests if it.kind == FORGET.name for removal in deletes_in(it.body)]

    return open_now


class ControlSource(FixedPartitionedSource[Request, dict[str, Any]]):
    """Reads the control logs in `folders`, as one partition.

    Args:
        folders: Folders of the logs.
        is_over: Whether no other input will come, so that the flow may end.
        should_stop: Whether to end at once.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        is_over: Callable[[], bool],
        should_stop: Callable[[], bool] = drain.is_stop_requested,
    ) -> None:
        self._folders = folders
        self._is_over = is_over
        self._should_stop = should_stop

    @reported
    def list_parts(self) -> list[str]:
        """Return the name of the only partition; it does not depend on the places of the logs."""
        return [_PART]

    @reported
    def build_part(self, step_id: str, for_part: str, resume_state: dict[str, Any] | None) -> "_Part":  # noqa: ARG002
        """Resume after the last request that the snapshot says was done, or start at the first open request."""
        done = resume_state["done"] if resume_state else {}
        return _Part([ControlLog(folder) for folder in self._folders], done, self._is_over, self._should_stop)


class _Part(StatefulSourcePartition[Request, dict[str, Any]]):
    def __init__(
        self,
        logs: list[ControlLog],
        done: dict[str, int],
        is_over: Callable[[], bool],
        should_stop: Callable[[], bool],
    ) -> None:
        self._logs = logs
        self._done = dict(done)
        """Number of the last emitted request, by the identity of its log; entries of other stores stay."""
        self._is_over = is_over
        self._should_stop = should_stop
        self._given: list[Request] = []
        """Emitted in this epoch."""
        self._durable: list[Request] = []
        """Emitted in earlier epochs."""
        self._awake: datetime | None = None
        _mark_done(logs, self._done)  # requests of a run that ended before it could mark them
        for it in logs:
            it.empty_done()

    @reported
    def next_batch(self) -> list[Request]:
        self._mark()
        if self._should_stop():
            raise StopIteration
        found: list[Request] = []
        for it in self._logs:
            found += it.open_after(self._done.get(it.identity, 0), _MOST - len(found))
            if found and found[-1].log == str(it.folder):
                self._done[it.identity] = found[-1].number
        if not found and self._is_over():
            raise StopIteration
        for request in found:
            log.info("request accepted", kind=request.kind, number=request.number)
        self._given += found
        self._awake = datetime.now(UTC) + _IDLE
        return found

    def next_awake(self) -> datetime | None:
        return self._awake

    @reported
    def snapshot(self) -> dict[str, Any]:
        self._durable += self._given
        self._given = []
        return {"version": 1, "done": dict(self._done)}

    def _mark(self) -> None:
        for request in self._durable:
            next(it for it in self._logs if str(it.folder) == request.log).mark(request.number, _DONE)
        self._durable = []


def _mark_done(logs: Sequence[ControlLog], done: Mapping[str, int]) -> None:
    for it in logs:
        last = done.get(it.identity, 0)
        for request in it.open_after(0, last):
            if request.number <= last:
                it.mark(request.number, _DONE)

"""Crashes at every point of a small input, an epoch for each emission: as exact as a whole run."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
from bytewax.errors import BytewaxRuntimeError
from bytewax.recovery import RecoveryConfig
from bytewax.testing import run_main

from connectors.fetching.prefetch import PrefetchedUnit
from connectors.sinks import jsonl_sink
from connectors.sinks.sink import OutMessage
from connectors.store.stored_table import StoredTable
from core.settings import as_variable
from dataflows.all_settings import Settings
from dataflows.memes import memes
from memewax.commands.recovery import prepare_recovery
from models.clusterers.rca_clusterer import RcaClusterer
from operators import prefetching_source
from operators.cluster_logic import ClusterLogic
from operators.join import Shard
from tests.factories import Posts, make_posts
from tests.flows.checks import check_outputs, outcomes
from tests.flows.pixels_flow import pixel_models
from tests.flows.runs import Flow

Patch = pytest.MonkeyPatch


class CrashError(Exception):
    """What no code of ours expects."""


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Posts:
    return make_posts(tmp_path_factory.mktemp("few") / "images", 20)


def run(flow: Flow) -> None:
    """To its end, or to the crash that was planted."""
    prepare_recovery(flow.recovery)
    settings = Settings(**{**flow.settings, "follow": False})
    run_main(
        memes(settings, pixel_models(), RcaClusterer),
        epoch_interval=timedelta(0),
        recovery_config=RecoveryConfig(flow.recovery, timedelta(0)),
    )


@pytest.fixture(scope="module")
def whole(few: Posts, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[object, ...]]:
    flow = Flow(tmp_path_factory.mktemp("whole"), few.path)
    run(flow)
    check_outputs(flow, few)
    return outcomes(flow.rows())


def before(_: Any, *__: Any) -> None:
    """Crash before anything is done."""


def after(call: Callable[[], Any]) -> None:
    """Crash when all is done and nobody has been told."""
    call()


def torn(part: Any, items: list[OutMessage]) -> None:
    """Crash amid a write."""
    part._file.write(b"\n".join(item.value for item in items)[:-7])
    part._file.flush()


@contextmanager
def crash_at(place: tuple[type, str], number: int, *, done: bool | None) -> Iterator[list[int]]:
    """Crash at the `number`th call of a method: before it, after it, or (None) amid writing a line."""
    owner, name = place
    original = getattr(owner, name)
    calls = [0]

    def call(self: Any, *arguments: Any) -> Any:
        emitted = None
        if done or name == "next_batch":
            emitted = original(self, *arguments)
            if name == "next_batch" and not emitted:
                return emitted
        calls[0] += 1
        if calls[0] == number:
            if done is None:
                torn(self, *arguments)
            raise CrashError
        return emitted if done or name == "next_batch" else original(self, *arguments)

    with Patch.context() as patch:
        patch.setattr(owner, name, call)
        yield calls


SOURCE: Final = prefetching_source._Part, "next_batch"
CLUSTER: Final = ClusterLogic, "on_batch"
CLUSTER_SNAPSHOT: Final = ClusterLogic, "snapshot"
JOIN: Final = Shard, "on_batch"
WRITE: Final = jsonl_sink.LineWriter, "write"
SNAPSHOT: Final = jsonl_sink.LineWriter, "snapshot"
STORE: Final = StoredTable, "upsert"


@pytest.mark.parametrize(
    ("place", "done", "step"),
    [
        (SOURCE, False, 1),
        (CLUSTER, True, 2),
        (CLUSTER_SNAPSHOT, True, 2),
        (JOIN, True, 5),
        (WRITE, None, 1),
        (WRITE, True, 2),
        (SNAPSHOT, True, 2),
        (STORE, True, 2),
    ],
    ids=["source", "cluster", "cluster snapshot", "join", "torn line", "line", "snapshot", "store"],
)
def test_a_crash_anywhere_changes_nothing(
    place: tuple[type, str],
    done: bool | None,
    step: int,
    few: Posts,
    whole: dict[str, tuple[object, ...]],
    tmp_path: Path,
) -> None:
    number = crashes = 0
    crashed = True
    while crashed:
        number += step
        flow = Flow(tmp_path / str(number), few.path, to_store=place == STORE)
        with crash_at(place, number, done=done) as calls, suppress(BytewaxRuntimeError, CrashError):
            run(flow)
        crashed = calls[0] >= number
        crashes += crashed
        if crashed:
            run(flow)
        check_outputs(flow, few)
        assert outcomes(flow.rows()) == whole
    assert crashes >= 3


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize(("place", "done", "step"), [(SOURCE, False, 3), (CLUSTER_SNAPSHOT, True, 5), (WRITE, None, 4)])
def test_a_crash_over_several_sources_changes_nothing(
    count: int,
    place: tuple[type, str],
    done: bool | None,
    step: int,
    few: Posts,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each has every second or third message; in the second run they are named in another order.

    Sources take turns as far as their images are there: so they are waited for here.
    """
    monkeypatch.setattr(PrefetchedUnit, "is_ready", lambda unit: unit.wait(60.0))
    paths = [few.path.with_name(f"{number}-of-{count}.jsonl") for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(b"".join(few.lines[number::count]))
    uncrashed = Flow(tmp_path / "whole", as_variable([str(it) for it in paths]))
    run(uncrashed)
    number = 1
    crashed = True
    while crashed:
        flow = Flow(tmp_path / str(number), as_variable([str(it) for it in paths]))
        with crash_at(place, number, done=done) as calls, suppress(BytewaxRuntimeError, CrashError):
            run(flow)
        crashed = calls[0] >= number
        flow.settings["source"] = as_variable([str(it) for it in reversed(paths)])
        run(flow)
        check_outputs(flow, few)
        assert outcomes(flow.rows()) == outcomes(uncrashed.rows())
        number += step


def test_a_crash_doubles_no_cluster_event(few: Posts, tmp_path: Path) -> None:
    def told(name: str, number: int) -> list[dict[str, Any]]:
        events = tmp_path / name / "events.jsonl"
        flow = Flow(tmp_path / name, few.path, cluster_events=str(events))
        with crash_at(WRITE, number, done=True), suppress(BytewaxRuntimeError, CrashError):
            run(flow)
        run(flow)
        return [{**orjson.loads(line), "time": None} for line in events.read_bytes().splitlines()]

    whole = told("whole", 10**9)
    assert len(whole) >= 3
    for number in (2, 5, 8):
        assert told(str(number), number) == whole


def test_a_source_may_come_and_another_may_go_and_sinks_may_change_places(few: Posts, tmp_path: Path) -> None:
    """The clusters go on: as if all had been one file."""
    half = len(few.lines) // 2
    paths = [few.path.with_name(f"half-{number}.jsonl") for number in range(2)]
    for path, lines in zip(paths, (few.lines[:half], few.lines[half:]), strict=True):
        path.write_bytes(b"".join(lines))
    flow = Flow(tmp_path / "two", paths[0], to_store=True)
    run(flow)
    flow.settings |= {"source": str(paths[1]), "to": as_variable([str(flow.store), str(flow.out)])}
    run(flow)
    check_outputs(flow, few)
    whole = Flow(tmp_path / "one", few.path)
    run(whole)
    clusters = [{it["global_id"]: it["cluster"] for it in of.rows().values()} for of in (flow, whole)]
    assert clusters[0] == clusters[1]


def test_crashes_one_after_another_change_nothing(
    few: Posts, whole: dict[str, tuple[object, ...]], tmp_path: Path
) -> None:
    """Each run gets one emission further, and forgets the next."""
    flow = Flow(tmp_path, few.path)
    runs = 0
    ended = False
    while not ended:
        runs += 1
        assert runs < 100
        with crash_at(SOURCE, 2, done=False) as calls, suppress(BytewaxRuntimeError, CrashError):
            run(flow)
        ended = calls[0] < 2
    assert runs >= 5
    check_outputs(flow, few)
    assert outcomes(flow.rows()) == whole

"""Crashes amid merges and splits: clusters end as if nothing had happened, in the events and in the store."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
from bytewax.errors import BytewaxRuntimeError
from bytewax.recovery import RecoveryConfig
from bytewax.testing import run_main

from connectors.store.posts_table import PostStore
from core.merges import Merges
from core.records import ClusterEvent
from dataflows.all_settings import Settings
from dataflows.memes import memes
from memewax.commands.recovery import prepare_recovery
from models.clusterers.verified import VerifiedClusterer
from operators.cluster_logic import ClusterLogic
from tests.flows.described_posts import described_models, described_posts, items
from tests.flows.runs import Flow
from tests.flows.test_crash import CrashError, crash_at
from tests.models.clusterers.test_verified import DIMENSION, fed

_LIKELY: Final = 12
"""Of this stream clusters are merged and split; where a machine computes otherwise, another one is looked for."""


@pytest.fixture(scope="module")
def seed() -> int:
    """Of a stream in which clusters are born, merged and split."""
    for it in range(_LIKELY, _LIKELY + 60):
        _, events = fed(VerifiedClusterer(), items(it))
        if {event.kind for event in events} >= {"birth", "merge", "split"}:
            return it
    raise AssertionError("no stream of which clusters are split")


@pytest.fixture(scope="module")
def posts(seed: int, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return described_posts(tmp_path_factory.mktemp("described") / "posts", seed)


def made(folder: Path, posts: Path) -> Flow:
    return Flow(folder, posts, to_store=True, cluster_events=str(folder / "events.jsonl"), read_batch=8)


def run(flow: Flow, seed: int) -> None:
    """To its end, or to the crash that was planted."""
    prepare_recovery(flow.recovery)
    settings = Settings(**{**flow.settings, "follow": False})
    run_main(
        memes(settings, described_models(seed), VerifiedClusterer),
        epoch_interval=timedelta(0),
        recovery_config=RecoveryConfig(flow.recovery, timedelta(0)),
    )


def ending(flow: Flow) -> tuple[list[dict[str, Any]], dict[str, tuple[int, int]]]:
    """Events in their order, and the clusters of each post: on arrival, and now."""
    events = [orjson.loads(line) for line in (flow.folder / "events.jsonl").read_bytes().splitlines()]
    stored = {row["global_id"]: row for row in PostStore(flow.store, DIMENSION, 8).rows()}
    merges = Merges(told(it) for it in events)
    for global_id, row in stored.items():
        assert row["current_cluster"] == merges.current(global_id, row["cluster"])
    assert stored.keys() == flow.rows().keys()
    return (
        [{**event, "time": None} for event in events],
        {name: (row["cluster"], row["current_cluster"]) for name, row in stored.items()},
    )


def told(event: dict[str, Any]) -> ClusterEvent:
    """What a message of the topic of clusters tells."""
    return ClusterEvent(
        event["event"], event.get("from", event["cluster"]), event.get("into"), tuple(event.get("posts", ()))
    )


def calls_with_events(flow: Flow, seed: int) -> Iterator[tuple[int, set[str]]]:
    """Calls of the clusterer's step by which clusters were merged or split, of a whole run."""
    calls: list[set[str]] = []
    original = ClusterLogic.on_batch

    def on_batch(self: ClusterLogic, values: list[Any]) -> Any:
        answers, kept = original(self, values)
        calls.append({it.kind for it in answers if isinstance(it, ClusterEvent)})
        return answers, kept

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ClusterLogic, "on_batch", on_batch)
        run(flow, seed)
    return ((number, kinds) for number, kinds in enumerate(calls, 1) if kinds & {"merge", "split"})


def test_a_crash_amid_merges_and_splits_changes_nothing(seed: int, posts: Path, tmp_path: Path) -> None:
    whole = made(tmp_path / "whole", posts)
    calls = list(calls_with_events(whole, seed))
    wanted = ending(whole)
    assert {event["event"] for event in wanted[0]} >= {"birth", "merge", "split"}
    assert any(now != arrival for arrival, now in wanted[1].values())
    split = next(number for number, kinds in calls if "split" in kinds)
    merge = next(number for number, kinds in calls if "split" not in kinds)
    for place, number in (("on_batch", split), ("snapshot", split), ("on_batch", merge)):
        flow = made(tmp_path / f"{place}-{number}", posts)
        with crash_at((ClusterLogic, place), number, done=True) as reached, suppress(BytewaxRuntimeError, CrashError):
            run(flow, seed)
        assert reached[0] >= number
        run(flow, seed)
        assert ending(flow) == wanted, (place, number)

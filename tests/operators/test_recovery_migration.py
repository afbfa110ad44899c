"""Recovery folders that version 0.1 wrote go on, though the ids of its steps were others."""

import gzip
import json
import shutil
import sqlite3
import threading
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from bytewax.recovery import RecoveryConfig
from bytewax.testing import run_main

from core.errors import WorldError
from dataflows.all_settings import Settings
from dataflows.memes import memes
from memewax.commands.recovery import prepare_recovery
from models.clusterers.rca_clusterer import RcaClusterer
from operators import recovery_migration
from operators.recovery_migration import is_old, migrate, new_id
from operators.recovery_places import states_in
from tests.factories import Posts, make_posts
from tests.flows.checks import check_outputs, outcomes
from tests.flows.pixels_flow import pixel_models
from tests.flows.runs import Flow
from tests.folders import ROOT

OLD = ROOT / "tests" / "data" / "recovery-0.1"
"""Written by version 0.1 from the first 9 of the posts that `few` makes, in one place and in two shards."""
SHARDS = {"one": 1, "sharded": 2}


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Posts:
    return make_posts(tmp_path_factory.mktemp("few") / "images", 20)


def old_flow(name: str, folder: Path, few: Posts) -> Flow:
    """A flow that version 0.1 ran half way."""
    flow = Flow(folder, few.path, cluster_shards=SHARDS[name], clusterer="relevant")
    held = json.loads(gzip.decompress((OLD / f"{name}.json.gz").read_bytes()))
    flow.recovery.mkdir()
    for number, dump in enumerate(held["parts"]):
        with closing(sqlite3.connect(flow.recovery / f"part-{number}.sqlite3")) as part:
            part.executescript(dump.replace("@SOURCE@", str(few.path)).replace("@FLOW@", str(folder)))
    flow.out.write_text(held["out"])
    flow.dead.write_text(held["dead"])
    return flow


def run(flow: Flow) -> None:
    prepare_recovery(flow.recovery)
    run_main(
        memes(Settings(**{**flow.settings, "follow": False}), pixel_models(), RcaClusterer),
        epoch_interval=timedelta(0),
        recovery_config=RecoveryConfig(flow.recovery, timedelta(0)),
    )


def ids(folder: Path) -> set[str]:
    return {step_id for part in folder.glob("part-*.sqlite3") for step_id, _ in states_in(part)}


def nearly(flow: Flow) -> dict[str, tuple[object, ...]]:
    """Outcomes whose distances may differ a little: the folder was written on another processor, which sums otherwise."""
    return {
        global_id: (cluster, pytest.approx(distance, abs=0.01), *rest)
        for global_id, (cluster, distance, *rest) in outcomes(flow.rows()).items()
    }


@pytest.mark.parametrize("name", SHARDS)
def test_a_folder_of_version_0_1_goes_on_as_if_nothing_had_been(name: str, few: Posts, tmp_path: Path) -> None:
    whole = Flow(tmp_path / "whole", few.path, cluster_shards=SHARDS[name], clusterer="relevant")
    run(whole)
    flow = old_flow(name, tmp_path / "old", few)
    before = flow.out.read_bytes()
    assert before
    run(flow)
    assert flow.out.read_bytes().startswith(before), "what was written is not written again"
    check_outputs(flow, few)
    if name == "one":  # of shards the order in which they agree is not fixed
        assert outcomes(flow.rows()) == nearly(whole)
    run(flow)
    check_outputs(flow, few)


def test_each_state_is_kept_in_the_one_part_that_bytewax_looks_into(few: Posts, tmp_path: Path) -> None:
    flow = old_flow("one", tmp_path / "old", few)
    run(flow)
    states = [state for part in sorted(flow.recovery.glob("part-*.sqlite3")) for state in states_in(part)]
    assert len(states) == len(set(states))


def test_the_old_folder_is_kept_beside(few: Posts, tmp_path: Path) -> None:
    flow = old_flow("one", tmp_path / "old", few)
    old = ids(flow.recovery)
    assert migrate(flow.recovery)
    assert ids(tmp_path / "old" / "recovery.before-nested-steps") == old
    assert ids(flow.recovery) == {new_id(step_id) for step_id in old}
    assert not migrate(flow.recovery)


def test_a_backup_that_is_there_is_not_written_over(few: Posts, tmp_path: Path) -> None:
    flow = old_flow("one", tmp_path / "old", few)
    taken = tmp_path / "old" / "recovery.before-nested-steps"
    taken.mkdir()
    migrate(flow.recovery)
    assert not list(taken.iterdir())
    assert ids(tmp_path / "old" / "recovery.before-nested-steps-2")


@pytest.mark.parametrize("calls", range(1, 10))
def test_a_migration_that_was_killed_is_done_again_from_the_backup(
    calls: int, few: Posts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = old_flow("one", tmp_path / "old", few)
    copied = []
    original = recovery_migration._copy

    def copy(source: Path, target: Path) -> None:
        copied.append(target)
        if len(copied) == calls:
            raise KeyboardInterrupt
        original(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(recovery_migration, "_copy", copy)
        try:
            migrate(flow.recovery)
        except KeyboardInterrupt:
            assert is_old(flow.recovery)
    run(flow)
    check_outputs(flow, few)


def test_two_at_once_migrate_it_once(few: Posts, tmp_path: Path) -> None:
    flow = old_flow("one", tmp_path / "old", few)
    done: list[bool] = []
    threads = [threading.Thread(target=lambda: done.append(migrate(flow.recovery))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == [False, True]


def test_a_new_folder_is_left_alone(tmp_path: Path) -> None:
    prepare_recovery(tmp_path / "new")
    assert not migrate(tmp_path / "new")
    assert not migrate(tmp_path / "none")
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_a_folder_without_room_beside_it_is_one_line(
    few: Posts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = old_flow("one", tmp_path / "old", few)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(recovery_migration.tempfile, "mkdtemp", full)
    with pytest.raises(WorldError, match=r"is of an older version and cannot be migrated: .*No space"):
        migrate(flow.recovery)


def test_python_m_bytewax_run_goes_on_with_an_old_folder(few: Posts, tmp_path: Path) -> None:
    flow = old_flow("one", tmp_path / "old", few)
    flow.bytewax("-s", "10").end()
    check_outputs(flow, few)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("memes.write_12", "memes.write.sink_12"),
        ("memes.clusters_0", "memes.clusters.store_0"),
        ("memes.clusters", "memes.clusters.events"),
        ("memes.cluster_agree", "memes.cluster.agree"),
        ("ingest.write_0", "ingest.write.sink_0"),
        ("similarity.answers_table", "similarity.answers.table"),
        ("memes.join.wait", "memes.join.wait"),
        ("somebody.write_0", "somebody.write_0"),
    ],
)
def test_ids(old: str, new: str) -> None:
    assert new_id(old) == new


def test_what_is_no_database_is_left_for_who_opens_it(tmp_path: Path) -> None:
    (tmp_path / "part-0.sqlite3").write_bytes(b"no database" * 100)
    assert not migrate(tmp_path)
    shutil.rmtree(tmp_path)

"""Births, merges and retirements reach the store and the topic, and readers of the store resolve old ids."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from bytewax import operators as op
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSource, run_main
from jsonschema import Draft202012Validator

from connectors.sinks.cluster_events import CLUSTERS, json_of_event
from connectors.sinks.rows import row_of
from connectors.store.cluster_ids import stored_merges as merges_of_table
from connectors.store.posts_table import PostStore
from connectors.store.stored_table import StoredTable
from connectors.topics.bodies import schema
from core.errors import WorldError
from core.records import Cluster, ClusterEvent, Record
from dataflows.all_settings import load_settings
from operators.outputs import write_cluster_events
from search.cluster_summaries import clock, exemplars, merges_of, summaries
from tests.factories import ANSWERS, post, sides, vector

EVENTS = [
    ClusterEvent("birth", 0),
    ClusterEvent("birth", 1),
    ClusterEvent("birth", 2),
    ClusterEvent("merge", 2, 1),
    ClusterEvent("merge", 1, 0),
    ClusterEvent("retire", 0),
    ClusterEvent("birth", 3),
    ClusterEvent("split", 3, 4, ("a-reddit", "b-reddit")),
    ClusterEvent("retire", 3),
    ClusterEvent("revive", 3),
]
START = datetime(2026, 5, 1, tzinfo=UTC)


def written(folder: Path, events: list[ClusterEvent], **settings: Any) -> None:
    flow = Dataflow("events")
    stream = op.input("in", flow, TestingSource(events))
    write_cluster_events("clusters", stream, load_settings(to=(str(folder / "store"),), **settings))
    run_main(flow)


@pytest.mark.parametrize("again", [0, 3, 6])
def test_the_store_says_what_each_cluster_is_now_however_often_it_is_told(again: int, tmp_path: Path) -> None:
    written(tmp_path, EVENTS)
    written(tmp_path, EVENTS[again:])
    rows = {row["cluster"]: (row["state"], row["into"]) for row in StoredTable(tmp_path / "store", CLUSTERS).rows()}
    assert rows == {0: ("retired", None), 1: ("merged", 0), 2: ("merged", 1), 3: ("live", None), 4: ("live", None)}


def test_a_split_is_told_of_the_new_cluster_with_the_posts_that_move(tmp_path: Path) -> None:
    written(tmp_path, EVENTS, cluster_events=str(tmp_path / "events.jsonl"))
    rows = {
        row["cluster"]: (row["split_from"], row["moved"]) for row in StoredTable(tmp_path / "store", CLUSTERS).rows()
    }
    assert (rows[4], rows[3]) == ((3, ["a-reddit", "b-reddit"]), (None, None))
    told = orjson.loads((tmp_path / "events.jsonl").read_bytes().splitlines()[7])
    assert (told["event"], told["cluster"], told["from"], told["into"]) == ("split", 4, 3, 4)
    assert told["posts"] == ["a-reddit", "b-reddit"]
    assert merges_of_table(tmp_path / "store").current("b-reddit", 3) == 4


def test_a_large_split_is_several_messages_each_of_which_fits(tmp_path: Path) -> None:
    posts = tuple(f"{number:0>512}" for number in range(2500))
    written(tmp_path, [ClusterEvent("split", 0, 1, posts)], cluster_events=str(tmp_path / "events.jsonl"))
    lines = (tmp_path / "events.jsonl").read_bytes().splitlines()
    assert max(map(len, lines)) < 2**20 - 1000
    assert [post for line in lines for post in orjson.loads(line)["posts"]] == list(posts)


def test_a_file_of_events_says_from_and_into(tmp_path: Path) -> None:
    written(tmp_path, EVENTS, cluster_events=str(tmp_path / "events.jsonl"))
    lines = [orjson.loads(line) for line in (tmp_path / "events.jsonl").read_bytes().splitlines()]
    assert [(it["event"], it.get("from"), it.get("into")) for it in lines][2:5] == [
        ("birth", None, None),
        ("merge", 2, 1),
        ("merge", 1, 0),
    ]


@pytest.mark.parametrize("event", EVENTS)
def test_a_message_is_as_its_schema_says(event: ClusterEvent) -> None:
    Draft202012Validator(schema("cluster-event")).validate(orjson.loads(json_of_event(event)))


def row(number: int, cluster: int, hours: float, text: str, copy: str | None = None) -> dict[str, Any]:
    time = START + timedelta(hours=hours)
    made = post(f"{number}-reddit", created_time=time.isoformat(), description=text)
    answers = {**ANSWERS, "cluster": Cluster(cluster, 0.1, copy), "embedding": vector(1, number, 0, 0, 0, 0, 0, 0)}
    return row_of(Record(made, sides(made.global_id, **answers)), "2026-06-01T00:00:00+00:00")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Cluster 0 had posts early under two names, 5 comes up late."""
    written(tmp_path, EVENTS)
    early = [row(number, number % 3, number, "an old cat") for number in range(30)]
    late = [row(100 + number, 5, 40 + number / 2, "a new doge", "100-reddit" if number else None) for number in range(12)]  # fmt: skip
    posts = PostStore(tmp_path / "store", 8, 8)
    posts.upsert(early[:15])
    posts.apply_events(EVENTS)
    posts.upsert(early[15:] + late)
    return tmp_path / "store"


def test_old_ids_are_resolved_and_posts_counted(store: Path) -> None:
    first, second = summaries(store, timedelta(hours=24))
    assert (first.cluster, first.size, first.merged, first.state) == (0, 30, (1, 2), "retired")
    assert (second.cluster, second.size, second.merged, second.state) == (5, 12, (), "unknown")
    assert (first.duplicates, second.duplicates) == (0, 11)
    assert (first.first_seen, first.last_seen) == (START, START + timedelta(hours=29))
    assert merges_of(store).resolve(2) == 0


def test_rate_and_trend_compare_the_newest_window_with_the_one_before(store: Path) -> None:
    first, second = summaries(store, timedelta(hours=10))
    assert (first.recent, first.before) == (0, 4)
    assert first.trend < 0 < second.trend
    assert second.rate == pytest.approx(1.2)


def test_posts_with_a_wrong_time_do_not_move_the_clock(store: Path) -> None:
    before = [(it.recent, it.before, it.trend) for it in summaries(store, timedelta(hours=10))]
    made = row(900, 9, 0, "from afar")
    wrong = [made | {"global_id": f"{time}-reddit", "created_time": time} for time in ("9999-12-31", "2200-01-01")]
    PostStore(store, 8, 8).upsert(wrong)
    *others, last = summaries(store, timedelta(hours=10))
    assert [(it.recent, it.before, it.trend) for it in others] == before
    assert (last.cluster, last.size, last.recent, last.before) == (9, 2, 0, 0)


HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("hours", "expected"),
    [
        ([], 1000),
        ([5], 5),
        ([0, 1, 90], 90),  # few posts: nobody can say which of them is wrong
        ([5000, 6000], 6000),  # our own clock is wrong
        ([5, 1010], 1010),  # a zone
        ([5, 1030], 5),
        ([*range(50), 900], 49),
        ([*range(50), 70], 70),
        ([3] * 50 + [40], 3),
        ([3] * 50 + [22], 22),  # within two windows
        ([*range(50), 900, 901], 901),  # more than one in a hundred
    ],
)
def test_the_clock_is_the_newest_time_that_can_be(hours: list[int], expected: int) -> None:
    found = clock([START + it * HOUR for it in hours], 10 * HOUR, START + 1000 * HOUR)
    assert found == START + expected * HOUR


def test_telling_words_are_those_that_are_not_everywhere(store: Path) -> None:
    first, second = summaries(store, timedelta(hours=24))
    assert set(first.words) == {"old", "cat"}
    assert set(second.words) == {"new", "doge"}


def test_what_few_posts_have_in_common_by_chance_tells_nothing(tmp_path: Path) -> None:
    common = [row(number, number, number, f"the {chr(97 + number) * 4}") for number in range(20)]
    pair = [row(50 + number, 50, number, "the scroll") for number in range(2)]
    PostStore(tmp_path / "store", 8, 8).upsert(common + pair)
    assert [it.words for it in summaries(tmp_path / "store", timedelta(hours=24)) if it.size > 1] == [("scroll",)]


def test_exemplars_are_nearest_the_centre(store: Path) -> None:
    assert [it["global_id"] for it in exemplars(store, (0, 1, 2))] == ["14-reddit", "15-reddit", "13-reddit"]


def test_a_folder_that_is_no_store_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(WorldError, match="is not a store"):
        summaries(tmp_path, timedelta(hours=1))


def test_yesterday_s_store_gains_the_column_of_copies(tmp_path: Path) -> None:
    import lancedb

    PostStore(tmp_path, 8, 8).upsert([row(1, 0, 0, "a cat")])
    lancedb.connect(tmp_path).open_table("posts").drop_columns(["duplicate_of"])
    assert summaries(tmp_path, timedelta(hours=1))[0].duplicates == 0
    store = PostStore(tmp_path, 8, 8)
    store.upsert([row(2, 0, 1, "a cat", "1-reddit")])
    found = {it["global_id"]: it["duplicate_of"] for it in store.rows()}
    assert found == {"1-reddit": None, "2-reddit": "1-reddit"}
    assert np.isfinite(summaries(tmp_path, timedelta(hours=1))[0].trend)

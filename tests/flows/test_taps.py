"""Taps of a whole flow, read by a consumer as the first version's were written."""

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from bytewax.errors import BytewaxRuntimeError
from bytewax.recovery import RecoveryConfig
from bytewax.testing import run_main
from confluent_kafka.admin import AdminClient

from connectors.topics.admin import TopicCluster, fitted
from connectors.topics.declared import TAPS
from dataflows.all_settings import Settings
from dataflows.memes import memes
from memewax.commands.recovery import prepare_recovery
from models.clusterers.dbstream import DbstreamClusterer
from operators.join import Shard
from tests.brokers import Broker, MockBroker, RealBroker, read_topic
from tests.factories import Posts, make_posts
from tests.flows.pixels_flow import pixel_models
from tests.flows.runs import Flow

Row = dict[str, Any]
NAMES: Final = [topic.name for topic in TAPS]
SIDES: Final = {
    "vit2analytics": "embeddings",
    "cluster2analytics": "cluster",
    "ocr2analytics": "text",
    "ner2analytics": "entities",
    "sentiment2analytics": "sentiments",
}


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Posts:
    return make_posts(tmp_path_factory.mktemp("few") / "images", 30)


@pytest.fixture(params=["mock", "real"])
def empty(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """A broker on which there are no taps yet: their names are what they are."""
    if request.param == "mock":
        yield MockBroker()
        return
    broker: RealBroker = request.getfixturevalue("real_broker")
    TopicCluster(broker.bootstrap, {}, 30).create(fitted(TAPS, 1))
    yield broker
    for future in AdminClient({"bootstrap.servers": broker.bootstrap}).delete_topics(NAMES).values():
        future.exception(30)


def run(flow: Flow, broker: Broker) -> None:
    prepare_recovery(flow.recovery)
    settings = Settings(**{**flow.settings, "follow": False, "taps": f"kafka://{broker.bootstrap}"})
    run_main(
        memes(settings, pixel_models(), DbstreamClusterer),
        epoch_interval=timedelta(0),
        recovery_config=RecoveryConfig(flow.recovery, timedelta(0)),
    )


def joined_as_the_first_version_did(broker: Broker) -> dict[str, Row]:
    """A left outer join from the post, each side within five minutes of its `ingestion_time`."""
    rows: dict[str, Row] = {}
    for message in read_topic(broker, "nifi2analytics"):
        post = json.loads(message.value or b"")
        seen = datetime.fromisoformat(post.pop("ingestion_time"))
        post["description"] = post.pop("desc")
        rows[post["global_id"]] = {**post, **dict.fromkeys(SIDES.values()), "seen": seen}
    for topic, column in SIDES.items():
        for message in read_topic(broker, topic):
            body = json.loads(message.value or b"")
            row = rows[body["global_id"]]
            assert abs(datetime.fromisoformat(body["timestamp"]) - row["seen"]) < timedelta(minutes=5)
            content = body[column]
            row[column] = json.loads(content) if column in {"embeddings", "entities", "sentiments"} else content
    return rows


def test_a_consumer_of_the_first_version_finds_what_the_records_say(few: Posts, tmp_path: Path, empty: Broker) -> None:
    flow = Flow(tmp_path / "flow", few.path)
    run(flow, empty)
    records = flow.rows()
    joined = joined_as_the_first_version_did(empty)
    assert joined.keys() == records.keys() == few.ids
    for global_id, row in joined.items():
        record = records[global_id]
        del row["seen"]
        assert row == {name: record[name] for name in row}
    assert few.broken.keys() == {global_id for global_id, row in joined.items() if row["cluster"] == -1}


def test_topics_that_feed_the_next_job_have_what_the_joining_ones_have(few: Posts, tmp_path: Path) -> None:
    broker = MockBroker()
    run(Flow(tmp_path / "flow", few.path), broker)
    found = {name: {(it.key, it.value) for it in read_topic(broker, name)} for name in NAMES}
    assert found["nifi2vit"] == found["nifi2ocr"] == found["nifi2analytics"]
    assert found["vit2cluster"] == found["vit2analytics"]
    assert found["ocr2ner"] == found["ocr2sentiment"] == found["ocr2analytics"]
    for name, stored in found.items():
        ids = few.ids if name.startswith(("nifi", "cluster")) else few.template.keys()
        assert {(key or b"").decode() for key, _ in stored} == ids


def test_a_crash_loses_none_of_them(few: Posts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broker = MockBroker()
    flow = Flow(tmp_path / "flow", few.path)
    calls = 0
    original = Shard.on_batch

    def crashing(self: Shard, values: list[Any]) -> Any:
        nonlocal calls
        calls += 1
        if calls == 20:
            raise RuntimeError
        return original(self, values)

    monkeypatch.setattr(Shard, "on_batch", crashing)
    with suppress(BytewaxRuntimeError, RuntimeError):
        run(flow, broker)
    assert calls == 20
    written = len(read_topic(broker, "nifi2vit"))
    assert 0 < written < few.valid
    run(flow, broker)
    assert flow.rows().keys() == few.ids
    assert joined_as_the_first_version_did(broker).keys() == few.ids
    again = len(read_topic(broker, "nifi2vit"))
    assert few.valid <= again < few.valid + written, "it went on from the snapshot"

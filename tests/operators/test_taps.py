"""Taps: the first version's bodies, and which of its topics are written."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import orjson
import pytest
from bytewax.dataflow import Dataflow
from jsonschema import Draft202012Validator

from connectors.topics.bodies import schema
from connectors.topics.declared import TAPS
from core.errors import SettingsError, WorldError
from core.records import Cluster, Failure, Reading, StageResult
from dataflows.all_settings import Settings
from dataflows.memes import memes
from models.clusterer import FakeClusterer
from models.loading import load_models
from operators.taps import (
    chosen_taps,
    cluster_fields,
    embedding_fields,
    entities_fields,
    messages,
    post_fields,
    sentiment_fields,
    text_fields,
    timestamp,
)
from tests.brokers import MockBroker, unused_address
from tests.factories import arrival, sides, vector

TIME = "2026-11-22T10:00:00.000Z"
NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
FETCH = Failure("fetch", "BadRecordError", "HTTP 404")
SIDES = sides()


def valid(name: str, body: Any) -> dict[str, Any]:
    """The body, held against its schema and that of the JSON inside it."""
    of = schema(name)
    read = orjson.loads(orjson.dumps(body))
    Draft202012Validator(of).validate(read)
    for field, about in of["properties"].items():
        if "contentSchema" in about:
            read[field] = orjson.loads(read[field])
            Draft202012Validator(about["contentSchema"]).validate(read[field])
    return dict(read)


# Bodies


def test_a_post_has_the_eight_fields_of_the_first_version() -> None:
    posted = arrival()
    body = valid("tapped-post", post_fields(posted, TIME))
    assert body == {
        "global_id": "1-reddit", "author": "", "created_time": "", "desc": "", "score": 0, "url": "1.png", "source": "",
        "ingestion_time": TIME,
    }  # fmt: skip


def test_a_post_keeps_the_time_at_which_ingest_saw_it() -> None:
    seen = datetime(2026, 11, 22, 11, 30, 0, 123_999, tzinfo=timezone(timedelta(hours=1)))
    posted = arrival()
    posted = type(posted)(type(posted.post)("1", "1.png", posted.post.message, ingestion_time=seen), posted.image)
    assert valid("tapped-post", post_fields(posted, TIME))["ingestion_time"] == "2026-11-22T10:30:00.123Z"


def test_each_side_has_its_body_with_json_inside_a_string() -> None:
    common = {"global_id": "1-reddit", "timestamp": TIME}
    made = valid("embeddings", embedding_fields(SIDES["embedding"], TIME))
    assert made == {**common, "embeddings": [1, 0, 0, 0, 0, 0, 0, 0]}
    assert valid("cluster", cluster_fields(SIDES["cluster"], TIME)) == {**common, "cluster": 3}
    assert valid("text", text_fields(SIDES["text"], TIME)) == {**common, "text": "hello paris. "}
    assert valid("entities", entities_fields(SIDES["entities"], TIME)) == {
        **common, "entities": [{"text": "Paris", "label": "GPE", "start": 6, "end": 11}]
    }  # fmt: skip
    assert valid("sentiments", sentiment_fields(SIDES["sentiment"], TIME)) == {
        **common, "sentiments": {"negative": 0.0, "neutral": 0.5, "positive": 0.5, "compound": 0.25}
    }  # fmt: skip


def test_numbers_keep_all_their_digits() -> None:
    embedded = vector(*np.random.default_rng(1).normal(0, 0.05, 384))
    body = embedding_fields(StageResult("1", "embedding", embedded[::2]), TIME)
    assert body is not None
    assert np.array_equal(np.array(orjson.loads(body["embeddings"]), np.float32), embedded[::2])


def test_an_image_without_text_and_a_text_without_entities_have_bodies() -> None:
    assert valid("text", text_fields(StageResult("1", "text", Reading()), TIME))["text"] == ""
    assert valid("entities", entities_fields(StageResult("1", "entities", ()), TIME))["entities"] == []


@pytest.mark.parametrize(
    "fields",
    [
        lambda value: embedding_fields(StageResult("1", "embedding", value), TIME),
        lambda value: text_fields(StageResult("1", "text", value), TIME),
        lambda value: entities_fields(StageResult("1", "entities", value), TIME),
        lambda value: sentiment_fields(StageResult("1", "sentiment", value), TIME),
    ],
)
@pytest.mark.parametrize("value", [FETCH, None])
def test_where_a_stage_has_no_result_there_is_no_body(fields: Callable[[Any], Any], value: Failure | None) -> None:
    assert fields(value) is None


@pytest.mark.parametrize(
    ("value", "cluster"),
    [
        (Cluster(0, 0.5), 0),
        (Cluster(np.int64(7), 0.5), 7),  # type: ignore[arg-type]
        (None, -1),
        (FETCH, -1),
        (Failure("embedding", "ValueError", "no"), -1),
        (Failure("cluster", "ValueError", "no"), -2),
    ],
)
def test_of_clusters_alone_there_is_always_one(value: Any, cluster: int) -> None:
    assert valid("cluster", cluster_fields(StageResult("1", "cluster", value), TIME))["cluster"] == cluster


def test_a_time_is_written_as_spark_does() -> None:
    assert timestamp(NOW) == TIME


# Messages


def test_a_message_goes_to_each_topic_under_its_id() -> None:
    made = messages([arrival("é-reddit")], post_fields, ["nifi2vit", "nifi2ocr"], 10_000, lambda: NOW)
    assert [(key, it.key, it.topic) for key, it in made] == [
        ("é-reddit", "é-reddit".encode(), "nifi2vit"),
        ("é-reddit", "é-reddit".encode(), "nifi2ocr"),
    ]
    assert orjson.loads(made[0][1].value)["ingestion_time"] == TIME


def test_what_has_no_body_makes_no_message() -> None:
    given = [StageResult("1", "embedding", FETCH), StageResult("2", "embedding", vector())]
    made = messages(given, embedding_fields, ["vit2cluster"], 10_000, lambda: NOW)
    assert [key for key, _ in made] == ["2"]


def test_what_is_too_large_for_the_topic_is_left_out_and_stops_nothing() -> None:
    given = [StageResult("1", "embedding", vector(*range(1000))), StageResult("2", "embedding", vector())]
    made = messages(given, embedding_fields, ["vit2cluster"], 1000, lambda: NOW)
    assert [key for key, _ in made] == ["2"]


# Which


def test_all_eleven_are_written_unless_some_are_named() -> None:
    assert chosen_taps(Settings(taps="kafka://h:1")) == [topic.name for topic in TAPS]
    assert chosen_taps(Settings(taps="kafka://h:1", taps_only=("ocr2ner", "nifi2vit"))) == ["nifi2vit", "ocr2ner"]


def test_a_tap_that_does_not_exist_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"no tap vit2ocr; MEMEWAX_TAPS_ONLY accepts nifi2vit, "):
        chosen_taps(Settings(taps="kafka://h:1", taps_only=("vit2ocr", "nifi2vit")))


@pytest.mark.parametrize("own", ["source", "to", "dead_letters"])
def test_a_flow_never_taps_into_its_own_topics(own: str) -> None:
    """It would read its own posts for ever; and one cluster has many addresses."""
    address = "kafka://another-name:9092/nifi2vit"
    given = {own: (address,) if own == "to" else address}
    with pytest.raises(SettingsError, match=r"nifi2vit is the flow's own.*MEMEWAX_TAPS_ONLY"):
        chosen_taps(Settings(taps="kafka://h:1", **given))
    assert chosen_taps(Settings(taps="kafka://h:1", taps_only=("ocr2ner",), **given)) == ["ocr2ner"]


def steps(flow: Dataflow) -> list[str]:
    return [step.step_id for step in flow.substeps]


def flow(**settings: Any) -> Dataflow:
    given = Settings(source="posts.jsonl", to="out.jsonl", models="fake", **settings)
    return memes(given, load_models(given), FakeClusterer)


def test_without_taps_the_flow_has_no_step_of_them(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "posts.jsonl").touch()
    without = steps(flow())
    assert not [step for step in without if "taps" in step]
    broker = MockBroker()
    tapped = steps(flow(taps=f"kafka://{broker.bootstrap}", taps_only="ocr2ner"))
    assert [step for step in tapped if step not in without] == ["memes.taps"]


def test_a_flow_whose_taps_have_no_broker_does_not_start(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "posts.jsonl").touch()
    with pytest.raises(WorldError, match=r"writing to topic nifi2vit, .*sentiment2analytics at .*start the broker"):
        flow(taps=f"kafka://{unused_address()}", kafka_timeout_seconds=0.5)


@pytest.mark.parametrize("address", ["localhost:9092", "kafka://", "kafka://h:1/topic", "out.jsonl"])
def test_an_address_that_is_no_cluster_is_refused(address: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "posts.jsonl").touch()
    with pytest.raises(SettingsError, match="is not kafka://HOST:PORT"):
        flow(taps=address)

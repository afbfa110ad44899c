"""Queries in, answers out, over Kafka: each is answered, whatever it is and whatever dies on the way."""

import os
import subprocess
import sys
import uuid
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any

import lancedb
import orjson
import pytest
from PIL import Image

from core.status import FOLDER, read_status
from memewax.commands.query_client import QueryClient
from memewax.commands.recovery import prepare_recovery
from tests.brokers import Broker, create_topic, produce, read_topic
from tests.factories import corpus_rows, make_corpus
from tests.flows.runs import Running
from tests.folders import ROOT

Body = dict[str, Any]
TEXTS = ["a", "bb", "ccc"]


class Service:
    """The flow between two topics of its own, with fake models."""

    def __init__(self, broker: Broker, folder: Path, **settings: str) -> None:
        self.broker, self.folder, self.store = broker, folder, folder / "store"
        self.queries, self.answers, self.sentences = (create_topic(broker, 2, it) for it in ("queries", "answers", "s"))
        self.settings = {"queries": self.queries, "answers": self.answers, **settings}
        self.settings = {name: self.address(value) for name, value in self.settings.items()}
        self.query_client = QueryClient(broker.bootstrap, self.queries, self.answers, {})

    def address(self, value: str) -> str:
        is_topic = value in {self.queries, self.answers, self.sentences}
        return f"kafka://{self.broker.bootstrap}/{value}" if is_topic else value

    def start(self, **settings: str) -> Running:
        own = {**self.settings, "store": str(self.store), "corpus_refresh_seconds": "0", **settings}
        return start_worker("similarity", self.folder / "recovery", **own)

    def send(self, ids: range) -> None:
        bodies = [orjson.dumps({"id": str(number), "text": TEXTS[number % 3]}) for number in ids]
        produce(self.broker, self.queries, bodies)

    def told(self) -> Counter[str]:
        """How often each id was answered in the topic."""
        return Counter((it.key or b"").decode() for it in read_topic(self.broker, self.answers))

    def rows(self, table: str = "answers") -> list[Body]:
        rows: list[Body] = lancedb.connect(self.store).open_table(table).to_arrow().to_pylist()
        return rows


def start_worker(flow: str, recovery: Path, **settings: str) -> Running:
    """A process of a flow, with fake models."""
    prepare_recovery(recovery)
    metrics = recovery.parent / f"metrics-{uuid.uuid4().hex}"
    metrics.mkdir(parents=True)
    own = {f"MEMEWAX_{name.upper()}": value for name, value in {"models": "fake", **settings}.items()}
    process = subprocess.Popen(
        [sys.executable, "-m", "memewax.commands.worker", flow, str(recovery), "0.2"],
        cwd=ROOT,
        env={**os.environ, **own, "PROMETHEUS_MULTIPROC_DIR": str(metrics)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    return Running(process, metrics, datetime.now(UTC))


@pytest.fixture
def service(best_broker: Broker, tmp_path: Path) -> Iterator[Service]:
    make_corpus(tmp_path / "store", TEXTS, favorite_count=7, retweet_count=2)
    made = Service(best_broker, tmp_path)
    yield made
    made.query_client.close()


def test_every_query_is_answered_and_the_answers_are_kept(service: Service) -> None:
    run = service.start()
    found = service.query_client.ask({"id": "1", "text": "bb"}, 60)
    assert [hit["text"] for hit in found["hits"]] == ["bb"]
    unknown = service.query_client.ask({"id": "2", "text": "bb", "corpus": "nowhere"}, 60)
    assert "no corpus 'nowhere'" in unknown["error"]["reason"]
    empty = service.query_client.ask({"id": "3", "text": ""}, 60)
    assert empty["error"] == {"stage": "parse", "reason": "text is empty: there is nothing to search for"}
    produce(service.broker, service.queries, [b"no JSON"], key=b"4")
    run.until(lambda: "4" in service.told(), 0.1)
    run.drain()
    (status,) = read_status(service.store / FOLDER).flows
    assert (status.flow, status.state, status.counts.queries, status.counts.answers) == ("similarity", "ended", 4, 4)
    rows = {row["id"]: row for row in service.rows()}
    assert rows.keys() == {"1", "2", "3", "4"}
    assert [hit["text"] for hit in rows["1"]["hits"]] == ["bb"]
    assert rows["1"]["error"] is None
    assert [rows[id_]["error"]["stage"] for id_ in "234"] == ["search", "parse", "parse"]


def test_killed_it_answers_what_was_not_answered_and_none_is_there_twice(service: Service) -> None:
    first = service.start()
    service.send(range(150))
    first.until(lambda: len(service.told()) >= 20, 0.02)
    first.kill()
    service.send(range(150, 200))
    second = service.start()
    second.until(lambda: len(service.told()) == 200, 0.1)
    second.drain()
    assert service.told().keys() == {str(number) for number in range(200)}
    rows = service.rows()
    assert Counter(row["id"] for row in rows) == Counter(map(str, range(200)))
    assert all(row["hits"][0]["text"] == row["text"] == TEXTS[int(row["id"]) % 3] for row in rows)


def test_a_row_that_comes_while_it_runs_is_found(mock_broker: Broker, tmp_path: Path) -> None:
    table = make_corpus(tmp_path / "store", TEXTS)
    service = Service(mock_broker, tmp_path)
    run = service.start()
    assert service.query_client.ask({"id": "1", "text": "eeeee"}, 60)["hits"][0]["text"] != "eeeee"
    table.add(corpus_rows(["eeeee"]))
    assert service.query_client.ask({"id": "2", "text": "eeeee"}, 60)["hits"][0]["text"] == "eeeee"
    run.drain()


def test_a_post_that_has_just_been_joined_is_found_by_text_and_by_image(mock_broker: Broker, tmp_path: Path) -> None:
    service = Service(mock_broker, tmp_path)
    source = tmp_path / "posts.jsonl"
    source.write_bytes(b"")
    posts = start_worker(
        "memes", tmp_path / "memes", source=str(source), to=str(service.store), follow="true", file_parts="1"
    )
    answers = service.start(corpus="posts")
    out = BytesIO()
    Image.new("RGB", (4, 4)).save(out, "PNG")
    image = b64encode(out.getvalue()).decode()
    numbers = count()

    def found(body: Body) -> list[str]:
        answer = service.query_client.ask({"id": str(next(numbers)), **body}, 60)
        return [hit["id"] for hit in answer.get("hits", [])]

    for post in ("1-reddit", "2-reddit"):  # into an empty store, and beside one that is known already
        with source.open("ab") as file:
            file.write(orjson.dumps({"global_id": post, "url": "1.png", "desc": f"The post {post}"}) + b"\n")
        answers.until(lambda post=post: post in found({"text": "such wow", "k": 9}), 0.1)  # type: ignore[misc]
    assert set(found({"image": image, "k": 9})) == {"1-reddit", "2-reddit"}
    posts.drain()
    answers.drain()


def test_the_first_version_s_topics_and_rows(mock_broker: Broker, tmp_path: Path) -> None:
    make_corpus(tmp_path / "store", TEXTS, favorite_count=7, retweet_count=2)
    service = Service(mock_broker, tmp_path)
    service.settings["sentence_embeddings"] = service.address(service.sentences)
    run = service.start(queries_form="first-version")
    produce(mock_broker, service.queries, [orjson.dumps({"sentence_to_encode": "b'"})], key=b"it's 100%")
    run.until(lambda: "it's 100%" in service.told(), 0.1)
    run.drain()
    ((between,), (row,)) = read_topic(mock_broker, service.sentences), service.rows("results")
    body = orjson.loads(between.value or b"")
    assert (body["sentence_to_encode"], len(body["sentence_embedding"])) == ("b'", 8)
    assert row["id"] == "it's 100%"
    assert (row["user_text"], row["trump_tweet"], row["similarity"]) == ("b'", "bb", 1)
    assert (row["favorite_count"], row["retweet_count"]) == (7, 2)


def test_an_answer_too_large_for_the_topic_says_so(mock_broker: Broker, tmp_path: Path) -> None:
    make_corpus(tmp_path / "store", ["x" * 8 * number for number in range(1, 40)])
    service = Service(mock_broker, tmp_path)
    run = service.start(kafka='{"message.max.bytes": "4000"}')
    answer = service.query_client.ask({"id": "1", "text": "x", "k": 39}, 60)
    assert "ask for fewer than 39 hits" in answer["error"]["reason"]
    run.drain()
    assert len(service.rows()[0]["hits"]) == 39


def test_no_query_is_too_large_for_its_answer(mock_broker: Broker, tmp_path: Path) -> None:
    """Its corpus, its text in the tap or its key would not fit a message twice; the next query is answered too."""
    make_corpus(tmp_path / "store", TEXTS)
    service = Service(mock_broker, tmp_path)
    service.settings["sentence_embeddings"] = service.address(service.sentences)
    run = service.start()
    long = {"id": "1", "text": "a", "corpus": "c" * 999_800}
    produce(mock_broker, service.queries, [orjson.dumps(long), orjson.dumps({"id": "2", "text": "b" * 999_000})])
    produce(mock_broker, service.queries, [b"no JSON"], key=b"k" * 999_800)
    assert service.query_client.ask({"id": "3", "text": "a"}, 60)["hits"]
    run.until(lambda: len(service.told()) >= 4, 0.1)
    run.drain()
    told = {row["id"]: row["error"] for row in service.rows()}
    assert "corpus is longer than 100 characters" in told["1"]["reason"]
    assert (told["2"], told["3"]) == (None, None)
    assert len(told) == 4

"""A trace goes through the flows: from the header of a post to that of its record, of a query to that of its answer."""

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from bytewax.testing import run_main

from core.traces import HEADER, TRACES
from dataflows.all_settings import Settings
from dataflows.ingest import ingest
from dataflows.memes import memes
from dataflows.similarity import similarity
from models.clusterer import FakeClusterer
from models.loading import load_models
from models.stages import stage_names
from search.answering import load_embedders
from tests.brokers import MockBroker, create_topic, produce, read_topic
from tests.collector import Collector, collector, linked
from tests.factories import make_corpus


@pytest.fixture
def traced() -> Iterator[Collector]:
    with collector() as found:
        TRACES.begin(found.url)
        yield found
        TRACES.end()


def context(number: int) -> str:
    return f"00-{number:032x}-{number:016x}-01"


def traces(broker: MockBroker, topic: str) -> dict[str, str]:
    """The trace of each message of a topic, by its key."""
    return {
        (it.key or b"").decode(): (dict(it.headers)[HEADER] or b"").decode().split("-")[1]
        for it in read_topic(broker, topic)
    }


def filled(broker: MockBroker, bodies: dict[int, bytes]) -> str:
    topic = create_topic(broker)
    for number, body in bodies.items():
        produce(broker, topic, [body], headers=((HEADER, context(number).encode()),))
    return topic


def address(broker: MockBroker, topic: str) -> str:
    return f"kafka://{broker.bootstrap}/{topic}"


def test_from_the_header_of_a_post_to_that_of_its_record(
    traced: Collector, mock_broker: MockBroker, tmp_path: Path
) -> None:
    posts = {n: orjson.dumps({"global_id": f"{n}-x", "url": f"{n}.png"}) for n in (1, 2, 3)}
    out = create_topic(mock_broker)
    settings = Settings(
        source=(address(mock_broker, filled(mock_broker, posts)),),
        to=(address(mock_broker, out),),
        dead_letters=str(tmp_path / "dead.jsonl"),
        models="fake",
        follow=False,
    )
    run_main(memes(settings, load_models(settings), FakeClusterer))
    TRACES.end()
    given = {f"{n:032x}" for n in posts}
    assert traces(mock_broker, out) == {f"{n}-x": f"{n:032x}" for n in posts}
    for step in (*stage_names(), "join"):
        spans = traced.named(step)
        assert set().union(*map(linked, spans)) == given, step
    for span in (*traced.named("receive post"), *traced.named("send record")):
        assert span.trace_id.hex() in given


def test_ingest_begins_a_trace_for_each_post(traced: Collector, mock_broker: MockBroker, tmp_path: Path) -> None:
    (tmp_path / "posts.jsonl").write_bytes(b'{"global_id": "1-x", "url": "1.png"}\n')
    out = create_topic(mock_broker)
    settings = Settings(
        source=(str(tmp_path / "posts.jsonl"),),
        to=(address(mock_broker, out),),
        dead_letters=str(tmp_path / "dead.jsonl"),
        follow=False,
    )
    run_main(ingest(settings))
    TRACES.end()
    (begun,) = traced.named("receive post")
    assert traces(mock_broker, out) == {"1-x": begun.trace_id.hex()}


def test_from_the_header_of_a_query_to_that_of_its_answer(
    traced: Collector, mock_broker: MockBroker, tmp_path: Path
) -> None:
    make_corpus(tmp_path / "store", ["aa", "bb"])
    queries = {1: orjson.dumps({"id": "1", "text": "aa"}), 2: orjson.dumps({"id": "2", "text": ""})}
    answers = create_topic(mock_broker)
    settings = Settings(
        queries=address(mock_broker, filled(mock_broker, queries)),
        answers=address(mock_broker, answers),
        store=tmp_path / "store",
        models="fake",
        follow=False,
    )
    run_main(similarity(settings, load_embedders(settings, images=False)))
    TRACES.end()
    assert traces(mock_broker, answers) == {str(n): f"{n:032x}" for n in queries}
    for step in ("embed", "search"):
        assert set().union(*map(linked, traced.named(step))) == {f"{1:032x}"}


def test_off_messages_have_no_header(mock_broker: MockBroker, tmp_path: Path) -> None:
    out = create_topic(mock_broker)
    settings = Settings(
        source=(address(mock_broker, filled(mock_broker, {1: b'{"global_id": "1-x", "url": "1.png"}'})),),
        to=(address(mock_broker, out),),
        dead_letters=str(tmp_path / "dead.jsonl"),
        models="fake",
        follow=False,
    )
    run_main(memes(settings, load_models(settings), FakeClusterer))
    assert [it.headers for it in read_topic(mock_broker, out)] == [()]

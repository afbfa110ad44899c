"""The benchmark of answers in its short form: it measures what it says."""

import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from memewax.bench import bench_topics
from memewax.bench.bench_asking import Questions
from memewax.bench.bench_corpus import Rows, questions, read_rows, write_synthetic
from memewax.bench.bench_stores import by_dimensions, plot
from memewax.commands.query_client import QueryClient
from search.corpus import Corpus
from search.vector_index import unit
from tests.brokers import Broker, MockBroker, create_topic
from tests.commands.typed import Memewax
from tests.factories import make_corpus

KEYS = ("search_p50_ms", "search_p99_ms", "end_to_end_p50_ms", "end_to_end_p99_ms")
KEYS = (*KEYS, "queries_per_second", "recall_at_1", "recall_at_10")
TEXTS = [f"{'word ' * (1 + number % 9)}number {number}" for number in range(200)]
SHORT = ("--rows", 500, "-n", 20, "--runs", 2, "--seconds", 0.5, "--rate", 20, "--in-flight", 4, "--json")


def test_search_alone_has_the_figures_that_it_names(memewax: Memewax, tmp_path: Path) -> None:
    make_corpus(tmp_path / "store", TEXTS)
    report = memewax("bench", "similarity", *SHORT, "--plot", "plot.png").summary()
    for part, rows in ((report["tweets"], 200), (report["million"], 500)):
        assert part.keys() >= set(KEYS)
        assert (part["rows"], part["n"], part["runs"]) == (rows, 20, 2)
        assert 0 < part["search_p50_ms"] <= part["search_p99_ms"]
        assert part["recall_at_1"] == part["recall_at_10"] == 1  # it is exact
        assert part["end_to_end_p50_ms"] is part["queries_per_second"] is None  # no broker was given
    assert [point["dimensions"] for point in report["by_dimensions"]] == [8]
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_end_to_end_over_kafka(
    memewax: Memewax, best_broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if isinstance(best_broker, MockBroker):  # its topics come into being when they are first asked for
        monkeypatch.setattr(bench_topics.Topics, "made", lambda _: create_topic(best_broker))
        monkeypatch.setenv("MEMEWAX_KAFKA", '{"fetch.wait.max.ms": "20"}')  # it answers no fetch sooner
    make_corpus(tmp_path / "store", TEXTS)
    words = (*SHORT, "--no-million", "--brokers", best_broker.bootstrap)
    report = memewax("bench", "similarity", *words).summary()["tweets"]
    assert 0 < report["end_to_end_p50_ms"] <= report["end_to_end_p99_ms"]
    assert report["queries_per_second"] > 0
    assert report["under_load_queries_per_second"] == 20
    assert 0 < report["under_load_p50_ms"] <= report["under_load_p99_ms"]


def test_questions_are_like_the_rows_and_are_none_of_them() -> None:
    asked = questions(TEXTS, 300)
    assert len(asked) == 300
    assert not set(asked) & set(TEXTS)
    words = {word for text in TEXTS for word in text.split()}
    assert all(set(text.split()) <= words | set(map(str, range(300))) for text in asked)
    assert asked == questions(TEXTS, 300)


def test_synthetic_rows_are_unit_vectors_near_real_ones_and_differ(tmp_path: Path) -> None:
    real = unit(np.random.default_rng(0).standard_normal((50, 64)).astype(np.float32))
    write_synthetic(tmp_path, Rows([f"text {number}" for number in range(50)], real), 400, "a model")
    made = read_rows(tmp_path, "synthetic")
    assert (len(made.texts), len(set(made.texts))) == (400, 400)
    np.testing.assert_allclose(np.linalg.norm(made.vectors, axis=1), 1, atol=1e-5)
    nearest = (made.vectors @ real.T).max(1)
    assert 0.5 < nearest.mean() < 0.9
    assert np.unique(made.vectors.round(4), axis=0).shape[0] == 400
    corpus = Corpus.open(tmp_path, "synthetic")
    assert (corpus.count(), corpus.model) == (400, "a model")


def test_each_engine_is_timed_at_each_size(tmp_path: Path) -> None:
    vectors = unit(np.random.default_rng(0).standard_normal((300, 80)).astype(np.float32))
    points = by_dimensions(vectors, vectors[:5])
    assert [point.dimensions for point in points] == [32, 64, 80]
    assert all(min(point.duckdb_ms, point.lancedb_ms, point.memewax_ms) > 0 for point in points)
    plot(points, 300, tmp_path / "plot.svg")
    assert "300 rows" in (tmp_path / "plot.svg").read_text()


class Echo(QueryClient):
    """Answers at once, or with an error; no Kafka."""

    def __init__(self, error: str = "") -> None:
        self.waiting: list[dict[str, Any]] = []
        self.sent: list[float] = []
        self.error = error

    def send(self, body: Any) -> None:
        self.sent.append(time.monotonic())
        self.waiting.append({"id": body["id"], **({"error": {"reason": self.error}} if self.error else {})})

    def arrived(self, seconds: float) -> Any:
        if not self.waiting:
            time.sleep(seconds)
        answers, self.waiting = self.waiting, []
        yield {"id": "somebody else's"}
        yield from answers


def test_each_question_is_timed_once() -> None:
    ask = Questions(Echo(), "tweets", ["a", "b"])
    assert len(ask.one_by_one(5)) == 5
    load = ask.at_rate(200, 0.2)
    assert (load.answered, len(load.milliseconds)) == (40, 40)
    assert load.seconds >= 39 / 200
    busy = ask.in_flight(4, 0.05)
    assert busy.answered == len(busy.milliseconds) >= 4


def test_a_rate_is_kept_however_long_answers_take() -> None:
    echo = Echo()
    Questions(echo, "tweets", ["a"]).at_rate(100, 0.3)
    assert all(later >= earlier for earlier, later in pairwise(echo.sent))
    assert echo.sent[-1] - echo.sent[0] >= 0.29 - 0.01


def test_an_error_is_no_measurement() -> None:
    with pytest.raises(Exception, match="no room"):
        Questions(Echo("no room"), "tweets", ["a"]).one_by_one(1)


def test_the_report_is_json_that_another_program_reads(memewax: Memewax, tmp_path: Path) -> None:
    make_corpus(tmp_path / "store", TEXTS)
    done = memewax("bench", "similarity", "--no-million", *SHORT)
    assert orjson.loads(done.out).keys() == {"tweets", "machine"}
    assert "give --brokers" in done.err


def test_a_broker_that_is_not_there_is_one_line(memewax: Memewax, tmp_path: Path) -> None:
    make_corpus(tmp_path / "store", TEXTS)
    done = memewax("bench", "similarity", "--no-million", *SHORT, "--store", "nowhere")
    assert done.code == 3
    assert "no corpus in nowhere" in done.err

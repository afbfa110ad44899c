"""Measurement of similarity search: latency idle and under load, throughput and recall."""

import os
import platform
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np

from dataflows.all_settings import Settings
from memewax.bench.bench_asking import Load, Questions, served
from memewax.bench.bench_corpus import SYNTHETIC, Rows, questions, read_rows, write_synthetic
from memewax.bench.bench_stores import by_dimensions, plot
from memewax.bench.bench_topics import Topics
from models.loading import load_text
from models.runtime import Runtime
from search.corpus import Corpus
from search.corpus_store import default_corpus
from search.index_choice import IndexChoice
from search.recall import Recall, measure_recall
from search.vector_index import FloatMatrix

_K: Final = 10
_BY_SIZE_QUERIES: Final = 50


@dataclass(frozen=True, slots=True)
class MeasuringPlan:
    """Parameters of the measurement."""

    queries: int
    runs: int
    rate: float
    seconds: float
    in_flight: int
    processes: int
    synthetic: int
    """Number of synthetic rows; 0: none."""
    brokers: str | None
    plot: Path | None


@dataclass(frozen=True, slots=True)
class Searching:
    """Latency of searches of a corpus in memory, including reading the texts of hits."""

    rows: int
    index: str
    runs: list[list[float]]
    """Latency of each query in milliseconds, by run."""
    recall: Recall


@dataclass(frozen=True, slots=True)
class Asking:
    """Latency and throughput of answers over Kafka."""

    runs: list[list[float]]
    """Latency of each query in milliseconds, one query at a time, by run."""
    at_rate: list[Load]
    flat_out: list[Load]
    """At maximum throughput."""


def measure(settings: Settings, plan: MeasuringPlan) -> dict[str, Any]:
    """Measure the corpus of the settings, and synthetic rows made from it; return the report."""
    corpus = settings.corpus or default_corpus(settings.store)
    real = read_rows(settings.store, corpus)
    texts = questions(real.texts, plan.queries)
    model = load_text(settings, Runtime.of(settings))
    asked = np.stack([model.one(text) for text in texts])
    report: dict[str, Any] = {"tweets": _measured("corpus", settings, corpus, texts, asked, plan)}
    if plan.synthetic:
        with tempfile.TemporaryDirectory(prefix="memewax-bench-") as folder:
            other = settings.model_copy(update={"store": Path(folder)})
            _say(f"generating {plan.synthetic:,} synthetic rows")
            write_synthetic(other.store, real, plan.synthetic, model.name)
            report["million"] = _measured("synthetic rows", other, SYNTHETIC, texts, asked, plan)
    if plan.plot is not None:
        report["by_dimensions"] = _by_dimensions(real, asked, plan.plot)
    report["machine"] = {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "model": model.name,
        "processes": plan.processes,
        "words_of_a_question": round(float(np.mean([len(text.split()) for text in texts])), 1),
    }
    if not plan.brokers:
        _say("nothing was measured end to end: give --brokers to do so")
    return report


def _measured(
    what: str,
    settings: Settings,
    name: str,
    texts: list[str],
    asked: FloatMatrix,
    plan: MeasuringPlan,
) -> dict[str, Any]:
    _say(f"{what}: search alone")
    searching = _search(settings, name, asked, plan)
    asking = None
    if plan.brokers:
        _say(f"{what}: over Kafka")
        with Topics(plan.brokers) as topics, served(topics, settings, name, texts, plan.processes) as ask:
            asking = _ask(ask, plan)
    return _report(searching, asking, plan)


def _search(settings: Settings, name: str, asked: FloatMatrix, plan: MeasuringPlan) -> Searching:
    corpus = Corpus.open(settings.store, name, None, IndexChoice.of(settings))
    for query in asked[:10]:
        corpus.search(query[None], _K)
    runs = [[_timed(corpus, query) for query in asked] for _ in range(plan.runs)]
    return Searching(corpus.count(), corpus.index.name, runs, measure_recall(corpus.index, asked))


def _timed(corpus: Corpus, query: FloatMatrix) -> float:
    start = time.perf_counter()
    corpus.search(query[None], _K)
    return 1000 * (time.perf_counter() - start)


def _ask(ask: Questions, plan: MeasuringPlan) -> Asking:
    ask.one_by_one(10)
    return Asking(
        [ask.one_by_one(plan.queries) for _ in range(plan.runs)],
        [ask.at_rate(plan.rate, plan.seconds) for _ in range(plan.runs)],
        [ask.in_flight(plan.in_flight, plan.seconds) for _ in range(plan.runs)],
    )


def _report(searching: Searching, asking: Asking | None, plan: MeasuringPlan) -> dict[str, Any]:
    found = {**_percentiles("search", searching.runs), **_percentiles("end_to_end", asking.runs if asking else [])}
    rates = [load.per_second for load in asking.flat_out] if asking else []
    loaded = _percentiles("under_load", [load.milliseconds for load in asking.at_rate] if asking else [])
    return {
        **{name: it and it["median"] for name, it in found.items()},
        "queries_per_second": round(median(rates), 1) if rates else None,
        "recall_at_1": searching.recall.at_1,
        "recall_at_10": searching.recall.at_10,
        **{name: it and it["median"] for name, it in loaded.items()},
        "under_load_queries_per_second": plan.rate if asking else None,
        "spread": {name: it["range"] for name, it in {**found, **loaded}.items() if it}
        | ({"queries_per_second": [round(min(rates), 1), round(max(rates), 1)]} if rates else {}),
        "rows": searching.rows,
        "index": searching.index,
        "n": plan.queries,
        "runs": plan.runs,
    }


def _percentiles(name: str, runs: list[list[float]]) -> dict[str, dict[str, Any] | None]:
    """Return the p50 and p99 of the runs: the median over the runs, and their range; None without runs."""
    found: dict[str, dict[str, Any] | None] = {}
    for percent in (50, 99):
        values = [round(float(np.percentile(run, percent)), 3) for run in runs]
        found[f"{name}_p{percent}_ms"] = (
            {"median": round(median(values), 3), "range": [min(values), max(values)]} if values else None
        )
    return found


def _by_dimensions(real: Rows, asked: FloatMatrix, path: Path) -> list[dict[str, Any]]:
    _say("by dimension: DuckDB, LanceDB and memewax")
    points = by_dimensions(real.vectors, asked[:_BY_SIZE_QUERIES])
    plot(points, len(real.texts), path)
    return [asdict(point) for point in points]


def _say(text: str) -> None:
    print(f"memewax: {text}", file=sys.stderr)

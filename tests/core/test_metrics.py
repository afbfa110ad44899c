"""Metrics: what the documents say of them holds, and no label grows without bound."""

import re
import threading
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from core import telemetry
from core.batched_metrics import BatchedHistograms, BatchedSum, observe_all
from core.causes import cause_names
from core.counts import own_counts
from core.telemetry import UNEXPOSED, observe_ages, sink_name, step
from tests.folders import ROOT

OPERATE = (ROOT / "docs/operate.md").read_text()
ROW = re.compile(r"^\| `(memewax_\w+)` \| (.*?) \| (\w+) \| (.*) \|$", re.MULTILINE)


def declared() -> dict[str, tuple[set[str], str, str]]:
    """All metrics that a page of metrics shows, with labels, kind and text."""
    return {
        it._name + ("_total" if it._type == "counter" else ""): (set(it._labelnames), it._type, it._documentation)
        for it in vars(telemetry).values()
        if isinstance(it, Counter | Gauge | Histogram) and it is not telemetry.REASONS
    }


def test_the_table_in_the_documents_is_that_of_the_code() -> None:
    table = {
        name: (set(re.findall(r"`(\w+)`", labels)), kind, text) for name, labels, kind, text in ROW.findall(OPERATE)
    }
    assert table == declared()


def test_names_are_as_openmetrics_wants_them() -> None:
    for name, (labels, kind, _) in declared().items():
        assert re.fullmatch(r"memewax_[a-z_]+", name)
        assert name.endswith("_total") == (kind == "counter"), name
        assert not {"le", "instance", "job"} & labels, name


def test_all_metrics_are_registered_but_those_that_quote_strangers() -> None:
    exposed = {metric.name for metric in REGISTRY.collect() if metric.name.startswith("memewax_")}
    assert exposed == {name.removesuffix("_total") for name in declared()}
    assert {metric.name for metric in UNEXPOSED.collect()} == {"memewax_reasons"}


def test_what_quotes_strangers_is_counted_all_the_same() -> None:
    telemetry.REASONS.labels("test", "a kind").inc(2)
    assert own_counts().reasons["test", "a kind"] == 2


def test_classes_of_reasons_are_named_in_the_documents() -> None:
    assert all(re.fullmatch("[a-z_]+", name) for name in cause_names())
    (row,) = [line for line in OPERATE.splitlines() if line.startswith("| `reason` of")]
    assert tuple(re.findall(r"`(\w+)`", row.split("|")[2])) == cause_names()


BUCKETS = (0.1, 1.0, 10.0)


@given(st.lists(st.floats(0, 100)))
def test_many_values_at_once_count_as_each_alone(values: list[float]) -> None:
    registry = CollectorRegistry()
    alone, together = (Histogram(name, "", registry=registry, buckets=BUCKETS) for name in ("alone", "together"))
    for value in [*values, *BUCKETS]:
        alone.observe(value)
    observe_all(together, [*values, *BUCKETS])
    one, other = (
        {s.name.partition("_")[2] + str(s.labels): s.value for s in it.collect()[0].samples} for it in (alone, together)
    )
    for it in (one, other):
        del it["created{}"]
    assert one == pytest.approx(other)


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("/data/out/records.jsonl", "records.jsonl"),
        ("/data/my store/", "my_store"),
        ("kafka://broker:9092/answers", "answers"),
        ("kafka://broker:9092/answers?x=secret", "answers"),
        ("/data/" + "x" * 99, "x" * 40),
        ('/data/a"b\nc', "a_b_c"),
    ],
)
def test_a_sink_has_a_short_name(place: str, name: str) -> None:
    assert sink_name(place) == name


def test_a_post_without_a_time_has_no_age() -> None:
    observe_ages("nowhere", [None])
    assert not REGISTRY.get_sample_value("memewax_sink_age_seconds_count", {"sink": "nowhere"})


def test_a_post_from_the_future_is_of_no_age() -> None:
    observe_ages("soon", [datetime(9999, 1, 1, tzinfo=UTC), datetime.now(UTC) - timedelta(seconds=1)])
    labels = {"sink": "soon"}
    assert REGISTRY.get_sample_value("memewax_sink_age_seconds_count", labels) == 2
    assert 1 <= (REGISTRY.get_sample_value("memewax_sink_age_seconds_sum", labels) or 0) < 60


def test_what_was_gathered_is_there_for_whoever_looks() -> None:
    for count in (3, 5):
        with step("gathered", count):
            pass
    labels = {"step": "gathered"}
    assert REGISTRY.get_sample_value("memewax_step_items_sum", labels) == 8
    assert REGISTRY.get_sample_value("memewax_step_seconds_count", labels) == 2
    with pytest.raises(ValueError, match="no"), step("gathered", 7):
        raise ValueError("no")
    assert REGISTRY.get_sample_value("memewax_step_items_sum", labels) == 8


def test_threads_that_gather_at_once_lose_nothing() -> None:
    registry = CollectorRegistry()
    one, other = (Histogram(name, "", registry=registry, buckets=BUCKETS) for name in ("one", "other"))
    gathered = BatchedHistograms(one, other)

    def add() -> None:
        for _ in range(5000):
            gathered.add(0.5, 2)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        gathered.observe()
    gathered.observe()
    assert registry.get_sample_value("one_count") == registry.get_sample_value("other_count") == 20_000
    assert registry.get_sample_value("other_sum") == 40_000


def test_threads_that_add_to_a_sum_at_once_lose_nothing() -> None:
    gauge = Gauge("a_sum", "", registry=CollectorRegistry())
    gathered = BatchedSum(gauge.inc)

    def add() -> None:
        for _ in range(5000):
            gathered.inc(3)
            gathered.inc(-2)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        gathered.observe()
    gathered.observe()
    assert gauge._value.get() == 20_000


def test_a_sum_that_was_gathered_is_there_for_whoever_looks() -> None:
    gathered = BatchedSum(telemetry.SKIPPED.labels("gathered", "test").inc)
    gathered.inc(2)
    gathered.inc(3)
    labels = {"service": "gathered", "reason": "test"}
    assert REGISTRY.get_sample_value("memewax_skipped_total", labels) == 5


def test_accounts_that_show_their_posts_are_no_deletes() -> None:
    before = own_counts().removals
    for kind, count in (("delete", 2), ("hide", 1), ("show", 5)):
        telemetry.REMOVALS.labels(kind).inc(count)
    assert own_counts().removals - before == 3

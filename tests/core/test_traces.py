"""Traces: what a collector gets, and what goes on in headers."""

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from core.log_lines import TRACE
from core.telemetry import configure_logging, log, step
from core.traces import HEADER, TRACES, trace_id, trace_of
from tests.collector import Collector, attributes, collector, linked
from tests.factories import arrival, post
from tests.folders import ROOT

GIVEN = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"


@pytest.fixture
def traced() -> Iterator[Collector]:
    """A collector, to which this process sends."""
    with collector() as found:
        TRACES.begin(found.url, worker=2)
        yield found
        TRACES.end()


def test_off_nothing_is_imported_and_nothing_is_told() -> None:
    code = (
        "import sys; from core.telemetry import step; from core.traces import TRACES\n"
        "with step('x', 1): pass\n"
        "assert not TRACES.is_on and not TRACES.sent('record', '1', '') and not TRACES.received('post', '1', ())\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_a_batch_is_a_span_with_links_to_its_posts(traced: Collector) -> None:
    contexts = [TRACES.received("post", name, ()) for name in ("a", "b")]
    assert len({trace_id(it) for it in contexts}) == 2
    posts = [post(trace=contexts[0]), post(trace=contexts[1]), post(trace=contexts[1]), post()]
    with step("text", 4, posts):
        pass
    TRACES.end()
    (span,) = traced.named("text")
    assert linked(span) == {trace_id(it) for it in contexts}
    assert len(span.links) == 2
    assert attributes(span) == {"memewax.items": 4}
    assert span.end_time_unix_nano >= span.start_time_unix_nano > 0
    assert {attributes(it)["memewax.id"] for it in traced.named("receive post")} == {"a", "b"}
    assert traced.paths == {"/v1/traces"}
    (resource, *_) = traced.resources
    assert (resource["service.name"], resource["service.instance.id"]) == ("memewax", "2")


def test_a_batch_that_fails_says_so(traced: Collector) -> None:
    with pytest.raises(ValueError, match="no"), step("text", 1):
        raise ValueError("no")
    TRACES.end()
    (span,) = traced.named("text")
    assert attributes(span)["error"] is True
    assert span.events[0].name == "exception"
    assert TRACE.get() == ""


def test_a_large_batch_names_some_of_its_posts(traced: Collector) -> None:
    with step("text", 300, [post(trace=TRACES.received("post", f"{n}", ())) for n in range(300)]):
        pass
    TRACES.end()
    (span,) = traced.named("text")
    assert len(span.links) == 128
    assert attributes(span)["memewax.items"] == 300


def test_a_trace_goes_on_from_header_to_header(traced: Collector) -> None:
    received = TRACES.received("post", "1", ((HEADER, GIVEN.encode()),))
    ((name, value),) = TRACES.sent("record", "1", received)
    TRACES.end()
    assert name == HEADER
    assert value is not None
    assert trace_id(received) == trace_id(value.decode()) == "ab" * 16
    came, went = traced.named("receive post")[0], traced.named("send record")[0]
    assert came.parent_span_id.hex() == "cd" * 8
    assert went.parent_span_id == came.span_id
    assert value.decode().split("-")[2] == went.span_id.hex()


@pytest.mark.parametrize(
    "header", [b"", b"nonsense", b"\xff\xfe", b"00-" + b"0" * 32 + b"-" + b"1" * 16 + b"-01", b"00-" + b"a" * 10_000]
)
def test_what_is_no_context_begins_a_new_trace(header: bytes, traced: Collector) -> None:
    received = TRACES.received("post", "1", ((HEADER, header),))
    TRACES.end()
    assert trace_id(received) == traced.named("receive post")[0].trace_id.hex()
    assert not traced.named("receive post")[0].parent_span_id


def test_who_is_not_sampled_is_not_sent_and_goes_on_as_that(traced: Collector) -> None:
    received = TRACES.received("post", "1", ((HEADER, GIVEN.replace("-01", "-00").encode()),))
    TRACES.end()
    assert trace_id(received) == "ab" * 16
    assert received.endswith("-00")
    assert not traced.spans


def test_lines_of_the_log_have_the_trace(traced: Collector, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info")
    with step("text", 1):
        log.warning("here")
    log.warning("there")
    TRACES.end()
    here, there = map(json.loads, capsys.readouterr().err.splitlines())
    assert here["trace"] == traced.named("text")[0].trace_id.hex()
    assert "trace" not in there


def test_a_collector_that_is_away_stops_nothing() -> None:
    TRACES.begin("http://127.0.0.1:9/")
    with step("text", 1):
        pass
    assert TRACES.is_on
    TRACES.end()
    assert not TRACES.is_on


def test_whatever_belongs_to_a_post_is_traced() -> None:
    assert trace_of(post(trace="x")) == "x"
    assert trace_of(("1", post(trace="x"))) == "x"
    assert trace_of(arrival()) == ""
    assert trace_of(object()) == ""

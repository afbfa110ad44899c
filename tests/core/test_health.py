"""When a flow is well, idle by right, or stalled."""

from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

from core.activity import Activity
from core.health import FlowHealth, health_pages
from core.http_pages import PageRequest
from core.status import ProcessStatus

STALLED = 60.0


class Watched:
    """A flow whose clock and counts are set by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.activity = Activity()
        self.health = FlowHealth(self.activity, STALLED, lambda: self.now)
        self.counts: dict[str, int] = {}

    def update(self, *, lag: int = 0, fetched: int = 0, state: str = "running", **counts: int) -> None:
        self.counts |= counts
        at = datetime.now(UTC)
        told: dict[str, Any] = {
            "flow": "memes",
            "process": 0,
            "processes": 1,
            "state": state,
            "pid": 1,
            "host": "h",
        }
        told |= {"started": at, "written": at, "lag": lag, "queues": {"fetch": fetched}, "counts": self.counts}
        self.health.update(ProcessStatus(**told))

    def probe(self, path: str) -> tuple[int, str]:
        answer = health_pages(self.health)[path](PageRequest(path))
        return answer.status, answer.body.decode().strip()


@pytest.fixture
def watched() -> Watched:
    made = Watched()
    made.activity.begun.set()
    made.activity.opened(made)
    made.health.ready()
    made.update()
    return made


def test_while_models_are_loaded_it_lives_and_is_not_ready() -> None:
    watched = Watched()
    watched.now = 1e6
    assert watched.probe("/healthz") == (200, "ok")
    assert watched.probe("/readyz")[0] == 503
    watched.health.ready()
    assert watched.probe("/readyz") == (503, "waiting for the other processes of the flow")
    watched.activity.begun.set()
    assert watched.probe("/readyz") == (200, "ok")


def test_idle_by_right_is_well(watched: Watched) -> None:
    watched.now = 1e6
    watched.update()
    assert watched.probe("/healthz") == (200, "ok")


def test_an_epoch_that_never_ends_is_a_process_out_of_reach(watched: Watched) -> None:
    """All that waited was read before it was cut off, so nothing else tells; no epoch need have ended before."""
    watched.now = 31.0
    watched.activity.due(watched, watched.now)
    watched.update(posts=1)
    watched.now = 31.0 + STALLED - 1
    watched.update()
    assert watched.probe("/healthz") == (200, "ok")
    watched.now = 31.0 + STALLED
    watched.update()
    status, told = watched.probe("/healthz")
    assert (status, told.partition("while ")[2]) == (
        503,
        "an epoch does not end, so nothing is read: another process of the flow may be unreachable",
    )
    watched.activity.due(watched, watched.now)  # it was asked, and will be again
    watched.update()
    assert watched.probe("/healthz") == (200, "ok")


def test_a_source_that_is_asked_once_an_hour_is_well_between(watched: Watched) -> None:
    watched.activity.due(watched, 3600.0)
    watched.now = 3600.0
    watched.update()
    assert watched.probe("/healthz") == (200, "ok")


@pytest.mark.parametrize(
    ("waiting", "told"),
    [({"lag": 1234}, "1,234 wait to be read"), ({"fetched": 8}, "8 fetched posts wait")],
)
def test_a_stalled_flow_with_waiting_input_fails(waiting: dict[str, int], told: str, watched: Watched) -> None:
    watched.now = STALLED - 1
    watched.update(**waiting)
    assert watched.probe("/healthz") == (200, "ok")
    watched.now = STALLED
    watched.update(**waiting)
    reason = f"no record, no reading and no epoch for 60 s, while {told}"
    assert watched.probe("/healthz") == (503, reason)
    assert watched.probe("/readyz") == (503, reason)


def test_what_is_in_the_flow_waits_too(watched: Watched) -> None:
    part = object()
    watched.activity.emitted(part)
    watched.now = STALLED
    watched.update()
    assert watched.probe("/healthz")[0] == 503
    watched.activity.polled(part)
    watched.update()
    assert watched.probe("/healthz")[0] == 200


@pytest.mark.parametrize("name", ["posts", "joined", "partial", "dead_letters", "duplicates", "answers"])
def test_whatever_comes_out_or_in_is_progress(name: str, watched: Watched) -> None:
    watched.now = STALLED
    watched.update(lag=1, **{name: 1})
    assert watched.probe("/healthz") == (200, "ok")
    watched.now = 2 * STALLED
    watched.update(lag=1)
    assert watched.probe("/healthz")[0] == 503


def test_an_epoch_is_progress(watched: Watched) -> None:
    watched.now = STALLED
    watched.activity.snapshot(object())
    watched.update(lag=1)
    assert watched.probe("/healthz") == (200, "ok")


def test_a_process_whose_parts_have_ended_waits_for_nothing(watched: Watched) -> None:
    """What is left of a file is for other processes."""
    watched.activity.closed(watched)
    watched.now = STALLED
    watched.update(lag=1000)
    assert watched.probe("/healthz") == (200, "ok")


def test_a_broker_that_is_away_makes_it_not_ready(watched: Watched) -> None:
    one, other = object(), object()
    for it in (one, other):
        watched.activity.unavailable(it, "kafka broker h:1 (down\n)")
    assert watched.probe("/readyz") == (503, "unreachable: kafka broker h:1 (down )")
    assert watched.probe("/healthz") == (200, "ok")
    watched.activity.available(one)
    assert watched.probe("/readyz")[0] == 503
    watched.activity.available(other)
    assert watched.probe("/readyz")[0] == 200


def test_one_that_drains_is_not_ready_and_lives(watched: Watched) -> None:
    watched.update(state="draining")
    assert watched.probe("/readyz") == (503, "draining: the flow was asked to stop")
    assert watched.probe("/healthz") == (200, "ok")


def test_metrics_are_openmetrics_where_that_is_asked_for(watched: Watched) -> None:
    page = health_pages(watched.health)["/metrics"]
    asked = page(PageRequest("/metrics", headers={"accept": "application/openmetrics-text;version=1.0.0,*/*;q=0.1"}))
    assert asked.kind.startswith("application/openmetrics-text; version=1.0.0")
    assert "memewax_posts" in {it.name for it in openmetrics(asked.body.decode())}
    other = page(PageRequest("/metrics"))
    assert other.kind.startswith("text/plain")
    assert "memewax_posts" in {it.name for it in plain(other.body.decode())}

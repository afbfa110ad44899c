"""Probes and scrapers at real processes of a flow."""

import http.client
import random
import re
import signal
import socket
from contextlib import suppress
from pathlib import Path

import pytest

from core.status import FOLDER, read_status
from tests.factories import Posts
from tests.flows.runs import Flow


def get(port: int, path: str) -> tuple[int, str]:
    """Status and body; (0, "") where nobody listens."""
    with suppress(OSError, http.client.HTTPException):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    return 0, ""


def counted(port: int, name: str) -> float:
    return sum(float(it) for it in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", get(port, "/metrics")[1], re.MULTILINE))


@pytest.fixture
def port() -> int:
    """One that is free, as is the next; below those that brokers of tests have, and by chance, since others test too."""
    while True:
        base = random.SystemRandom().randrange(10_000, 19_000, 2)
        with suppress(OSError):
            for it in (base, base + 1, base + 500):
                socket.create_server(("127.0.0.1", it)).close()
            return base


def test_each_process_answers_for_itself_amid_a_long_batch(posts: Posts, folder: Path, port: int) -> None:
    flow = Flow(folder, posts.path, seconds=0.3, health_port=port, stalled_seconds=60)
    run = flow.memewax(2)
    run.until(lambda: all(get(it, "/readyz")[0] == 200 for it in (port, port + 1)), 0.1)
    # A batch takes more than a second, in which the worker looks at nothing else.
    run.until(lambda: all(counted(it, "memewax_posts_in_flight") > 0 for it in (port, port + 1)), 0.01)
    assert [get(it, "/healthz") for it in (port, port + 1)] == [(200, "ok\n")] * 2
    assert all(counted(it, "memewax_posts_total") > 0 for it in (port, port + 1))
    assert [it.health_port for it in read_status(folder / "recovery.state" / FOLDER).flows[0].processes] == [
        port,
        port + 1,
    ]
    run.process.send_signal(signal.SIGTERM)
    run.until(lambda: get(port, "/readyz")[0] in {0, 503} or run.process.poll() is not None, 0.05)
    run.end()
    assert get(port, "/healthz") == (0, "")


def test_a_flow_that_is_stuck_while_input_waits_is_told(posts: Posts, folder: Path, port: int) -> None:
    flow = Flow(folder, posts.path, seconds=1000, health_port=port, stalled_seconds=0.5)
    run = flow.worker()
    run.until(lambda: get(port, "/healthz")[0] == 503, 0.1)
    assert "no record, no reading and no epoch for" in get(port, "/healthz")[1]
    assert "posts are in the flow; at work: embedding" in get(port, "/healthz")[1]
    run.kill()


def test_a_taken_port_is_a_line_and_ends_nothing(posts: Posts, folder: Path, port: int) -> None:
    with socket.create_server(("127.0.0.1", port)):
        said = Flow(folder, posts.path, health_port=port).worker(snapshot_seconds=600).end()
    assert said.count("health is not served") == 1
    assert "MEMEWAX_HEALTH_PORT" in said


def test_bytewaxs_own_server_leaves_the_port_to_health(
    posts: Posts, folder: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BYTEWAX_DATAFLOW_API_ENABLED", "1")
    monkeypatch.setenv("BYTEWAX_DATAFLOW_API_PORT", str(port))
    folder.mkdir()
    monkeypatch.setenv("BYTEWAX_DATAFLOW_API_CACHE_PATH", str(folder))  # it writes a file there
    run = Flow(folder, posts.path, seconds=0.3, health_port=port).bytewax("-s", "10")
    run.until(lambda: get(port, "/readyz") == (200, "ok\n"), 0.1)
    run.until(lambda: get(port + 500, "/dataflow")[0] == 200, 0.1)
    run.kill()

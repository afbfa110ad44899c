"""`memewax bench fetch`: what fetching many images at a time gains, from a server that takes its time."""

import http.client
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from time import perf_counter, process_time
from typing import Annotated, Any

import orjson
import typer
from prometheus_client import REGISTRY
from rich.console import Console
from rich.table import Table

from core.errors import WorldError
from core.records import Failure, Message, Post
from dataflows.all_settings import Settings
from memewax.bench.machine import machine


@dataclass(frozen=True, slots=True)
class FetchRun:
    """All images fetched and decoded once, by a fetcher that begins without connections."""

    seconds: float
    cpu_seconds: float
    connections: int
    most_at_once: int
    """Requests that the server held at the same time."""


def fetch(
    images: Annotated[int, typer.Option("--images", "-n", min=1, help="Images a run.")] = 500,
    latency_ms: Annotated[float, typer.Option(min=0, help="The server waits so long before each answer.")] = 50.0,
    concurrency: Annotated[
        list[int] | None, typer.Option(min=1, help="Fetches at a time; may be given again. By default 1, 4, 16 and 64.")
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="Runs of each, taking turns; the median counts.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Fetch images from a slow server on this machine, one at a time and many at a time."""
    each = concurrency or [1, 4, 16, 64]
    measured: dict[int, list[FetchRun]] = {number: [] for number in each}
    with _serving(latency_ms / 1000) as port:
        _measure(port, images=min(images, 10), concurrency=1)  # what happens at first use is in no figure
        for run in range(runs):
            for number, found in measured.items():
                print(f"memewax: {number} at a time, run {run + 1} of {runs}", file=sys.stderr)
                found.append(_measure(port, images=images, concurrency=number))
    report = _report(measured, images, latency_ms)
    if as_json:
        sys.stdout.write(orjson.dumps(report, option=orjson.OPT_NON_STR_KEYS).decode() + "\n")
    else:
        Console().print(_table(report))


@contextmanager
def _serving(latency: float) -> Iterator[int]:
    """The port of a server in a process of its own, so that it does not share this one's interpreter."""
    command = [sys.executable, "-m", "memewax.bench.image_server", str(latency)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        if server.stdin is None or server.stdout is None or not (line := server.stdout.readline()):
            raise WorldError("the server of images did not start; the lines above say why")
        yield int(line)
        server.stdin.close()


def _measure(port: int, *, images: int, concurrency: int) -> FetchRun:
    from operators.posts_input import fetcher

    settings = Settings(
        source="posts.jsonl", fetch_concurrency=concurrency, fetch_per_host=concurrency, fetch_allow=("127.0.0.1",)
    )
    posts = [Post(str(number), f"http://127.0.0.1:{port}/{number}.jpg", Message(b"", "")) for number in range(images)]
    _most_at_once(port)
    with closing(fetcher(settings)) as fetching:
        connections, start, cpu = _connections(), perf_counter(), process_time()
        for arriving in fetching.start(posts):
            if isinstance(failed := arriving.result().image, Failure):
                raise WorldError(f"an image was not fetched, so this is no measurement: {failed.reason}")
        return FetchRun(
            seconds=perf_counter() - start,
            cpu_seconds=process_time() - cpu,
            connections=_connections() - connections,
            most_at_once=_most_at_once(port),
        )


def _connections() -> int:
    """Connections that this process has made to fetch images."""
    return int(REGISTRY.get_sample_value("memewax_fetch_connections_total") or 0)


def _most_at_once(port: int) -> int:
    """Requests that the server has held at once since it was last asked."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/most")
    most = int(connection.getresponse().read())
    connection.close()
    return most


def _report(measured: Mapping[int, Sequence[FetchRun]], images: int, latency_ms: float) -> dict[str, Any]:
    slowest = statistics.median(run.seconds for run in measured[min(measured)])
    return {
        "fetch": {number: _figures(runs, images, slowest) for number, runs in measured.items()},
        "n": images,
        "latency_ms": latency_ms,
        "runs": {number: [asdict(run) for run in runs] for number, runs in measured.items()},
        "machine": machine(),
    }


def _figures(runs: Sequence[FetchRun], images: int, of_least: float) -> dict[str, Any]:
    seconds = statistics.median(run.seconds for run in runs)
    return {
        "seconds": seconds,
        "seconds_fastest": min(run.seconds for run in runs),
        "seconds_slowest": max(run.seconds for run in runs),
        "images_per_second": images / seconds,
        "times_faster": of_least / seconds,
        "cpu_seconds": statistics.median(run.cpu_seconds for run in runs),
        "connections": max(run.connections for run in runs),
        "most_at_once": max(run.most_at_once for run in runs),
    }


def _table(report: Mapping[str, Any]) -> Table:
    caption = f"{report['n']} images a run, {report['latency_ms']:g} ms before each answer"
    table = Table(caption=caption, caption_justify="left")
    for column in ("at a time", "seconds", "fastest", "slowest", "images/s", "times faster", "CPU s", "connections"):
        table.add_column(column, justify="right")
    for number, found in report["fetch"].items():
        names = ("seconds", "seconds_fastest", "seconds_slowest", "images_per_second", "times_faster", "cpu_seconds")
        table.add_row(str(number), *(f"{found[name]:.2f}" for name in names), str(found["connections"]))
    return table

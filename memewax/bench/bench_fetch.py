"""`memewax bench fetch`: speed-up by concurrent fetches of images from a server with high latency."""

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
    """One run: all images fetched and decoded, by a fetcher that starts without connections."""

    seconds: float
    cpu_seconds: float
    connections: int
    most_at_once: int
    """Maximum number of concurrent requests at the server."""


def fetch(
    images: Annotated[int, typer.Option("--images", "-n", min=1, help="Number of images per run.")] = 500,
    latency_ms: Annotated[float, typer.Option(min=0, help="Delay of the server before each answer, in ms.")] = 50.0,
    concurrency: Annotated[
        list[int] | None, typer.Option(min=1, help="Concurrent fetches; may be repeated. By default 1, 4, 16 and 64.")
    ] = None,
    runs: Annotated[
        int, typer.Option(min=1, help="Interleaved runs of each concurrency, of which the median is reported.")
    ] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Fetch images from a slow server on this machine, one at a time and concurrently."""
    each = concurrency or [1, 4, 16, 64]
    measured: dict[int, list[FetchRun]] = {number: [] for number in each}
    with _serving(latency_ms / 1000) as port:
        _measure(port, images=min(images, 10), concurrency=1)  # warm-up
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
    """Run the image server in a separate process, so that it does not compete for the GIL; yield its port."""
    command = [sys.executable, "-m", "memewax.bench.image_server", str(latency)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        if server.stdin is None or server.stdout is None or not (line := server.stdout.readline()):
            raise WorldError("the image server did not start; the lines above say why")
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
                raise WorldError(f"an image was not fetched, so the run is invalid: {failed.reason}")
        return FetchRun(
            seconds=perf_counter() - start,
            cpu_seconds=process_time() - cpu,
            connections=_connections() - connections,
            most_at_once=_most_at_once(port),
        )


def _connections() -> int:
    """Return the number of connections that this process has opened to fetch images."""
    return int(REGISTRY.get_sample_value("memewax_fetch_connections_total") or 0)


def _most_at_once(port: int) -> int:
    """Return the maximum number of concurrent requests at the server since the last call."""
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
    caption = f"{report['n']} images per run, {report['latency_ms']:g} ms before each answer"
    table = Table(caption=caption, caption_justify="left")
    for column in ("at a time", "seconds", "fastest", "slowest", "images/s", "times faster", "CPU s", "connections"):
        table.add_column(column, justify="right")
    for number, found in report["fetch"].items():
        names = ("seconds", "seconds_fastest", "seconds_slowest", "images_per_second", "times_faster", "cpu_seconds")
        table.add_row(str(number), *(f"{found[name]:.2f}" for name in names), str(found["connections"]))
    return table

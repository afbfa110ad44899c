"""`memewax bench`: the overhead of the flow itself; the other benchmarks are in `memewax.bench`."""

import statistics
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from itertools import count
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer

from core.counts import RunCounts
from core.errors import SettingsError
from core.extras import needs_extra
from memewax.bench.bench_cache import cache
from memewax.bench.bench_cassandra import cassandra
from memewax.bench.bench_clusters import clusters
from memewax.bench.bench_deletes import deletes
from memewax.bench.bench_fetch import fetch
from memewax.bench.bench_growth import growth
from memewax.bench.bench_models import models
from memewax.bench.bench_observing import TIMED, observing_cost
from memewax.bench.bench_ocr import ocr
from memewax.bench.bench_page import page
from memewax.bench.bench_pipeline import pipeline
from memewax.bench.bench_reading import reading
from memewax.bench.bench_reposts import reposts
from memewax.bench.bench_similarity import similarity
from memewax.bench.bench_topics import Topics
from memewax.bench.machine import machine
from memewax.commands.recovery import prepare_recovery
from memewax.commands.supervise import Job, run_job

app = typer.Typer(no_args_is_help=True, help="Benchmark parts of the system on this machine.")

app.command()(clusters)
app.command()(ocr)
app.command()(fetch)
app.command()(similarity)
app.command()(growth)
app.command()(deletes)
app.command()(cassandra)
app.command()(reading)
app.command()(page)
app.command()(models)
app.command()(reposts)
app.command()(cache)
app.command()(pipeline)

_SNAPSHOT_SECONDS: Final = 10.0
_FAKE_MODELS: Final = {"models": "fake", "log_level": "error"}


@dataclass(frozen=True, slots=True)
class BenchRun:
    """One run of the flow with fake models."""

    posts_per_second: float
    """Throughput from the first record to the last; excludes the start of the process."""
    microseconds_per_post: dict[str, float]
    """Time in each step, and in Bytewax's engine around them (`engine`)."""
    peak_rss_mb: float
    rss_mb_first_tenth: float
    rss_mb_end: float


@app.command()
@needs_extra("bench", "memewax bench overhead")
def overhead(
    posts: Annotated[int, typer.Option("--posts", "-n", min=1000, help="Posts in each run.")] = 200_000,
    runs: Annotated[int, typer.Option(min=1, help="Runs of each kind; the median is reported.")] = 3,
    brokers: Annotated[
        str | None, typer.Option(help="HOST:PORT of a Kafka broker, to measure topic to topic as well.")
    ] = None,
    observing: Annotated[
        bool,
        typer.Option(
            "--observing",
            help="Measure what metrics, status and health cost instead: alternate runs with and without them.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Run the flow with instant fake models: file to file and topic to topic, with recovery on."""
    if observing:
        _print(_observing(posts, runs), as_json=as_json)
        return
    with tempfile.TemporaryDirectory(prefix="memewax-bench-") as name:
        folder = Path(name)
        source = folder / "posts.jsonl"
        source.write_bytes(b"".join(line + b"\n" for line in _posts(posts)))
        from_file = [_from_file(source, folder / f"file-{number}", posts) for number in _counted(runs, "file to file")]
        from_topic = _over_kafka(brokers, posts, runs, folder) if brokers else []
    report = _report(posts, from_file, from_topic)
    _print(report, as_json=as_json)
    if not brokers:
        print("memewax: nothing was measured over Kafka: give --brokers to do so", file=sys.stderr)


def _print(report: dict[str, Any], *, as_json: bool) -> None:
    sys.stdout.write(orjson.dumps(report, option=0 if as_json else orjson.OPT_INDENT_2).decode() + "\n")


def _observing(posts: int, turns: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="memewax-bench-") as name:
        folder, numbers = Path(name), count()
        source = folder / "posts.jsonl"
        source.write_bytes(b"".join(line + b"\n" for line in _posts(posts)))

        def run(port: int, look: Callable[[RunCounts], None]) -> float:
            return _from_file(source, folder / f"run-{next(numbers)}", posts, TIMED, port, look).posts_per_second

        return observing_cost(posts, turns, run)


def _posts(count: int) -> Iterable[bytes]:
    """Yield posts of about 270 bytes, like those that `memewax ingest` publishes."""
    for number in range(count):
        yield orjson.dumps(
            {
                "global_id": f"{number:07x}-reddit",
                "author": f"user{number % 997}",
                "created_time": "2026-11-22T10:00:00+00:00",
                "desc": "a caption of some ordinary length, as people write them",
                "score": number % 5000,
                "url": f"https://images.example/{number:07x}.jpg",
                "source": "reddit",
                "ingestion_time": "2026-11-22T10:00:01+00:00",
            }
        )


def _counted(runs: int, kind: str) -> Iterable[int]:
    for number in range(runs):
        print(f"memewax: {kind}, run {number + 1} of {runs}", file=sys.stderr)
        yield number


def _from_file(
    source: Path,
    folder: Path,
    posts: int,
    flow: str = "memes",
    port: int = 0,
    look: Callable[[RunCounts], None] = lambda _: None,
) -> BenchRun:
    out = folder / "records.jsonl"
    folder.mkdir()
    run = _measured(
        source=str(source),
        to=str(out),
        folder=folder,
        posts=posts,
        times=partial(_times_of_file, out),
        flow=flow,
        port=port,
        look=look,
    )
    out.unlink()
    return run


def _over_kafka(brokers: str, posts: int, runs: int, folder: Path) -> list[BenchRun]:
    with Topics(brokers) as topics:
        source = topics.create_filled(_posts(posts))
        measured = []
        for number in _counted(runs, "topic to topic"):
            place = folder / f"kafka-{number}"
            place.mkdir()
            out = topics.create()
            measured.append(
                _measured(
                    source=topics.address(source),
                    to=topics.address(out),
                    folder=place,
                    posts=posts,
                    times=partial(_times_of_topic, topics, out),
                )
            )
        return measured


def _times_of_file(out: Path) -> tuple[int, float]:
    with out.open("rb") as lines:
        return _span(lines)


def _times_of_topic(topics: Topics, out: str) -> tuple[int, float]:
    return _span(topics.values(out))


def _span(records: Iterable[bytes]) -> tuple[int, float]:
    """Return the number of records and the seconds from the first to the last."""
    first = last = None
    count = 0
    for record in records:
        count += 1
        time = orjson.loads(record)["joined_time"]
        first = min(first or time, time)
        last = max(last or time, time)
    if first is None or last is None:
        return 0, 0.0
    return count, (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds()


def _measured(
    *,
    source: str,
    to: str,
    folder: Path,
    posts: int,
    times: Callable[[], tuple[int, float]],
    flow: str = "memes",
    port: int = 0,
    look: Callable[[RunCounts], None] = lambda _: None,
) -> BenchRun:
    from memewax.bench.bench_memory import RunMemory

    # One emission of the source is the unit of work; with models that cost nothing it may hold hundreds of posts.
    settings: dict[str, Any] = {
        **_FAKE_MODELS,
        "source": source,
        "to": to,
        "dead_letters": str(folder / "dead.jsonl"),
        "follow": False,
        "read_batch": 256,
        "file_block_bytes": 32_768,
        "health_port": port,
    }

    def seen(counts: RunCounts) -> None:
        memory.sample(counts)
        look(counts)

    prepare_recovery(folder / "recovery")
    memory = RunMemory(posts)
    ended = run_job(Job(flow, settings, folder / "recovery", _SNAPSHOT_SECONDS), seen, _log)
    count, seconds = times()
    if count != posts:
        raise SettingsError(
            f"{posts} posts went in and {count} records came out, so nothing was measured: expected as many"
        )
    steps = {step: 1e6 * spent / posts for step, spent in ended.counts.step_seconds.items()}
    steps["engine"] = 1e6 * seconds / posts - sum(steps.values())
    return BenchRun(posts / seconds, steps, memory.peak, memory.first_tenth, memory.last)


def _log(line: str) -> None:
    """Print a line that a process logs to stderr: stdout is for the report."""
    print(line, file=sys.stderr)


def _report(posts: int, from_file: list[BenchRun], from_topic: list[BenchRun]) -> dict[str, Any]:
    def rate(runs: list[BenchRun]) -> float | None:
        return round(statistics.median(run.posts_per_second for run in runs)) if runs else None

    def steps(runs: list[BenchRun]) -> dict[str, float]:
        names = runs[0].microseconds_per_post
        return {name: round(statistics.median(run.microseconds_per_post[name] for run in runs), 2) for name in names}

    return {
        "file_posts_per_second": rate(from_file),
        "kafka_posts_per_second": rate(from_topic),
        "microseconds_per_post": steps(from_file),
        "kafka_microseconds_per_post": steps(from_topic) if from_topic else None,
        "peak_rss_mb": round(max(run.peak_rss_mb for run in from_file + from_topic), 1),
        "n": posts,
        "runs": {"file": [asdict(run) for run in from_file], "kafka": [asdict(run) for run in from_topic]},
        "machine": machine(),
    }

"""Each alert fires once for a fault that is provoked: `pytest -m slow tests/monitoring`.

Minutes of the rules are seconds here. What Prometheus looks at are the pages of real processes.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import orjson
import pytest

from memewax.commands.recovery import prepare_recovery
from tests.factories import Posts, make_posts
from tests.folders import ROOT
from tests.jetstream import START, Json, commit, jetstream
from tests.monitoring.faulty_flow import FAULT
from tests.monitoring.named import alerts
from tests.monitoring.prometheus import PROMETHEUS, Prometheus, free_ports, hurried_rules, prometheus

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROMETHEUS is None, reason="no prometheus on the PATH"),
    pytest.mark.timeout(400),
]


@dataclass
class Watched:
    """A flow that Prometheus looks at."""

    folder: Path
    seen: Prometheus
    port: int
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *, fault: str = "", snapshot_seconds: float = 0.5, **settings: Any) -> subprocess.Popen[bytes]:
        """Start a process of the flow, with its recovery folder and sinks below one folder."""
        recovery = self.folder / "recovery"
        prepare_recovery(recovery)
        usual = {
            "to": str(self.folder / "records.jsonl"),
            "dead_letters": str(self.folder / "dead.jsonl"),
            "health_port": self.port,
            "follow": "true",
            "read_batch": 4,
            "file_block_bytes": 512,
            "retry_tries": 0,
        }
        own = {f"MEMEWAX_{name.upper()}": str(value) for name, value in {**usual, **settings}.items()}
        command = [sys.executable, "-m", "memewax.commands.worker", "tests.monitoring.faulty_flow"]
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [*command, str(recovery), str(snapshot_seconds)],
                cwd=ROOT,
                env={**os.environ, **own, FAULT: fault},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.processes.append(process)
        return process

    def fires(self, name: str) -> None:
        """Wait for an alert."""
        try:
            self.seen.until(lambda: name in self.seen.firing(), name)
        except AssertionError as error:
            log = (self.folder / "log").read_text()[-3000:]
            raise AssertionError(f"{error}; firing: {self.seen.firing()}; log: {log}") from None

    def is_at_work(self) -> None:
        """Wait until something has been read."""
        self.seen.until(lambda: bool(self.seen.query("memewax_posts_total > 0")), "posts are read")


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    (port,) = free_ports(1)
    with prometheus(tmp_path / "prometheus", [port], hurried_rules()) as seen:
        made = Watched(tmp_path, seen, port)
        yield made
        for process in made.processes:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def posts(tmp_path_factory: pytest.TempPathFactory) -> Posts:
    return make_posts(tmp_path_factory.mktemp("posts") / "images", 60)


def plain_posts(path: Path, count: int, **fields: Any) -> Path:
    """Posts for fakes, whose images are not looked at."""
    lines = [orjson.dumps({"global_id": f"{n}-x", "url": f"{n}.png", **fields}) for n in range(count)]
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


@contextmanager
def growing(path: Path, line: Callable[[int], bytes], pause: float) -> Iterator[None]:
    """A file to which lines are written for as long as the block lasts."""
    ended = threading.Event()

    def write() -> None:
        number = 0
        while not ended.wait(pause):
            with path.open("ab") as file:
                file.write(line(number) + b"\n")
            number += 1

    path.touch()
    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def a_post(number: int, **fields: Any) -> bytes:
    return orjson.dumps({"global_id": f"{number}-x", "url": f"{number}.png", **fields})


def down(watched: Watched, posts: Posts) -> None:
    process = watched.start(source=posts.path)
    watched.is_at_work()
    process.kill()


def not_ready(watched: Watched, posts: Posts) -> None:
    watched.start(source=posts.path, fault="loading")


def restarts(watched: Watched, posts: Posts) -> None:
    before = 0.0
    for _ in range(4):
        process = watched.start(source=posts.path)
        watched.seen.until(
            lambda before=before: bool(watched.seen.query(f"memewax_start_time_seconds > {before}")),  # type: ignore[misc]
            "it is there again",
        )
        process.kill()
        process.wait()
        before = datetime.now(UTC).timestamp()


def stalled(watched: Watched, posts: Posts) -> None:
    watched.start(source=posts.path, fault="hangs")


def falls_behind(watched: Watched, posts: Posts) -> None:
    del posts
    source = watched.folder / "posts.jsonl"
    with growing(source, lambda number: a_post(number, desc="x" * 400), 0.01):
        watched.start(source=source, models="fake", fault="snapshots", snapshot_seconds=0, read_batch=1)
        watched.fires("MemewaxFallsBehind")


def old_at_sink(watched: Watched, posts: Posts) -> None:
    del posts
    before = (datetime.now(UTC) - timedelta(hours=2)).isoformat()
    with growing(watched.folder / "posts.jsonl", lambda n: a_post(n, ingestion_time=before), 0.05):
        watched.start(source=watched.folder / "posts.jsonl", models="fake")
        watched.fires("MemewaxOldAtSink")


def dead_letters(watched: Watched, posts: Posts) -> None:
    del posts
    with growing(watched.folder / "posts.jsonl", lambda n: a_post(n) if n % 2 else b'{"x', 0.05):
        watched.start(source=watched.folder / "posts.jsonl", models="fake")
        watched.fires("MemewaxDeadLetters")


def fetches_fail(watched: Watched, posts: Posts) -> None:
    del posts
    with growing(watched.folder / "posts.jsonl", a_post, 0.05):
        watched.start(source=watched.folder / "posts.jsonl")
        watched.fires("MemewaxFetchesFail")


def stage_fails(watched: Watched, posts: Posts) -> None:
    name = next(iter(posts.path.parent.glob("*.png")))
    with growing(
        watched.folder / "posts.jsonl", lambda n: orjson.dumps({"global_id": f"{n}-x", "url": str(name)}), 0.05
    ):
        watched.start(source=watched.folder / "posts.jsonl", fault="reader", fetch_folder=posts.path.parent)
        watched.fires("MemewaxStageFails")


def partial_records(watched: Watched, posts: Posts) -> None:
    del posts
    with growing(watched.folder / "posts.jsonl", a_post, 0.2):
        watched.start(source=watched.folder / "posts.jsonl", models="fake", fault="side", join_deadline_seconds=1)
        watched.fires("MemewaxPartialRecords")


def snapshots_slow(watched: Watched, posts: Posts) -> None:
    del posts
    with growing(watched.folder / "posts.jsonl", a_post, 0.05):
        watched.start(source=watched.folder / "posts.jsonl", models="fake", fault="snapshots", snapshot_seconds=0.2)
        watched.fires("MemewaxSnapshotsSlow")


def store_behind(watched: Watched, posts: Posts) -> None:
    del posts
    source = plain_posts(watched.folder / "posts.jsonl", 5000)
    watched.start(
        source=source,
        to=watched.folder / "store",
        models="fake",
        fault="disk",
        read_batch=256,
        file_block_bytes=32_768,
        snapshot_seconds=1000,
    )


def store_fragmented(watched: Watched, posts: Posts) -> None:
    del posts
    with growing(watched.folder / "posts.jsonl", a_post, 0.02):
        watched.start(
            source=watched.folder / "posts.jsonl",
            to=watched.folder / "store",
            models="fake",
            fault="fragments",
            read_batch=1,
            snapshot_seconds=10,
        )
        watched.fires("MemewaxStoreFragmented")


def stream_behind(watched: Watched, posts: Posts) -> None:
    """Frames are from long ago."""
    del posts
    with jetstream() as server:
        watched.start(source="bluesky:", bluesky_urls=server.url, models="fake")
        numbers = count()

        def comes() -> bool:
            server.frames.append(commit(next(numbers)))
            return "MemewaxStreamBehind" in watched.seen.firing()

        watched.seen.until(comes, "MemewaxStreamBehind")


def share_kept(watched: Watched, posts: Posts) -> None:
    """Frames are always older than half of what is allowed, so that a lower share is read each time."""
    del posts
    with jetstream() as server:
        watched.start(source="bluesky:", bluesky_urls=server.url, models="fake", overload="sample", max_lag_seconds=100)
        numbers = count()

        def comes() -> bool:
            late = time.time() - 90 - START / 1e6
            server.frames += [commit(next(numbers), seconds=late + 1e-4 * n) for n in range(20)]
            return "MemewaxShareKept" in watched.seen.firing()

        watched.seen.until(comes, "MemewaxShareKept")


def stream_gap(watched: Watched, posts: Posts) -> None:
    """The server ends the first connection, and no longer has what came after it."""
    del posts
    with jetstream() as server:
        may_end = threading.Event()

        def first(kept: Sequence[Json]) -> Sequence[Json]:
            may_end.wait(60)
            return kept[:1]

        server.frames = [commit(0), commit(1, seconds=100_000.0)]
        server.plays = [first, lambda kept: kept[1:]]
        watched.start(source="bluesky:", bluesky_urls=server.url, models="fake", poll_backoff_seconds=0.01)
        watched.seen.until(lambda: bool(watched.seen.query("memewax_stream_gaps_total == 0")), "the counter is there")
        may_end.set()
        watched.fires("MemewaxStreamGap")


def stream_reconnects(watched: Watched, posts: Posts) -> None:
    """The server ends each connection at once."""
    del posts
    with jetstream() as server:
        server.frames = [commit(0)]
        server.plays = [lambda kept: kept] * 10_000
        watched.start(source="bluesky:", bluesky_urls=server.url, models="fake", poll_backoff_seconds=0.01)
        watched.fires("MemewaxStreamReconnects")


def answers_fail(watched: Watched, posts: Posts) -> None:
    del posts
    queries = watched.folder / "queries.jsonl"
    with growing(queries, lambda n: orjson.dumps({"id": str(n), "text": "x", "corpus": "nowhere"}), 0.1):
        watched.start(
            queries=queries, store=watched.folder / "store", answers=watched.folder / "answers.jsonl", models="fake"
        )
        watched.fires("MemewaxAnswersFail")


FAULTS: dict[str, Callable[[Watched, Posts], None]] = {
    "MemewaxDown": down,
    "MemewaxNotReady": not_ready,
    "MemewaxRestarts": restarts,
    "MemewaxStalled": stalled,
    "MemewaxFallsBehind": falls_behind,
    "MemewaxOldAtSink": old_at_sink,
    "MemewaxDeadLetters": dead_letters,
    "MemewaxFetchesFail": fetches_fail,
    "MemewaxStageFails": stage_fails,
    "MemewaxPartialRecords": partial_records,
    "MemewaxSnapshotsSlow": snapshots_slow,
    "MemewaxStoreBehind": store_behind,
    "MemewaxStoreFragmented": store_fragmented,
    "MemewaxStreamBehind": stream_behind,
    "MemewaxShareKept": share_kept,
    "MemewaxStreamGap": stream_gap,
    "MemewaxStreamReconnects": stream_reconnects,
    "MemewaxAnswersFail": answers_fail,
}


@pytest.mark.parametrize("name", [alert["alert"] for alert in alerts()])
def test_an_alert_fires_where_its_fault_is_provoked(name: str, watched: Watched, posts: Posts) -> None:
    FAULTS[name](watched, posts)
    watched.fires(name)


def test_a_flow_that_is_well_fires_nothing(watched: Watched) -> None:
    now = datetime.now(UTC).isoformat()
    with growing(watched.folder / "posts.jsonl", lambda n: a_post(n, ingestion_time=now), 0.1):
        watched.start(source=watched.folder / "posts.jsonl", models="fake", snapshot_seconds=5)
        watched.is_at_work()
        start = datetime.now(UTC)
        fired: set[str] = set()

        def long_enough() -> bool:
            fired.update(watched.seen.firing())
            return datetime.now(UTC) - start > timedelta(seconds=60)

        watched.seen.until(long_enough, "a minute is over")
    assert not fired

"""Disk size of a store, and memory of the flow that writes it, while the flow runs, is killed half-way and resumes."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
import psutil

from connectors.sinks.record_table import POSTS
from connectors.store.store_folder import READ_ERRORS, opened
from core.counts import RunCounts
from core.errors import WorldError, first_line
from memewax.bench.grown_store import StoreSize, size_of
from memewax.commands.recovery import prepare_recovery
from memewax.commands.supervise import FlowError, Job, run_job

_FLOW: Final = "memewax.bench.mixed_flow"
_SNAPSHOT_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class FlowGrowth:
    """Measurements of a flow that is killed once."""

    steps: tuple[StoreSize, ...]
    posts_per_second: float
    """Throughput of both runs together, each from its first record to its last."""
    resume_seconds: float
    """Time from the start of the second run, including process and models, to its first record."""
    read_again: int
    """Posts that the second run read; the first run had already written some of them."""
    rows: int
    """Rows in the store at the end."""


def grow_with_flow(folder: Path, posts: int, steps: int) -> FlowGrowth:
    """Run the flow over `posts` posts into a store, kill it half-way with SIGKILL, and resume it.

    Raises:
        WorldError: if the store does not hold each post exactly once at the end.
    """
    source = folder / "posts.jsonl"
    with source.open("wb") as out:
        out.writelines(_posts(posts))
    # The first run follows its file, so that it cannot end before it is killed, however fast the machine is.
    job = _job(folder, source, follow=True)
    prepare_recovery(job.recovery)
    first = _Watch(folder / "store", posts // steps, kill_at=posts // 2)
    with suppress(FlowError):  # expected: the run was killed
        run_job(job, first.look, _log)
    second = _Watch(folder / "store", posts // steps)
    ended = run_job(_job(folder, source, follow=False), second.look, _log)
    rows = _rows_in(folder / "store")
    if rows != posts:
        raise WorldError(f"{posts:,} posts were read, but the store holds {rows:,} rows")
    data = size_of(folder / "store")[1] / 1e6 / posts
    sizes = tuple(
        StoreSize(at, round(seconds, 1), files, round(mb, 1), round(data * at, 1), round(rss, 1))
        for seconds, at, files, mb, rss in (*first.seen, *second.seen)
        if at and rss
    )
    busy = first.busy + second.busy
    return FlowGrowth(
        steps=sizes,
        posts_per_second=round((first.counted + second.counted) / busy, 1) if busy else 0.0,
        resume_seconds=round(second.until_first, 1),
        read_again=ended.counts.posts,
        rows=rows,
    )


def _job(folder: Path, source: Path, follow: bool) -> Job:
    settings: dict[str, Any] = {
        "models": "fake",
        "log_level": "error",
        "source": str(source),
        "to": str(folder / "store"),
        "dead_letters": str(folder / "dead.jsonl"),
        "follow": follow,
        "read_batch": 256,
        "file_block_bytes": 32_768,
        "health_port": 0,
    }
    return Job(_FLOW, settings, folder / "recovery", _SNAPSHOT_SECONDS)


class _Watch:
    """Monitor of a run: measures the store every `every` posts, and kills the run after `kill_at` posts, if given."""

    def __init__(self, store: Path, every: int, kill_at: int | None = None) -> None:
        self.seen: list[tuple[float, int, int, float, float]] = []
        self.counted = 0
        self.until_first = self.busy = 0.0
        self._store = store
        self._every = max(1, every)
        self._next = 0
        self._kill_at = kill_at
        self._start = time.monotonic()

    def look(self, counts: RunCounts) -> None:
        """Take a measurement if one is due, and kill the run if that is due."""
        if not counts.joined:
            return
        passed = time.monotonic() - self._start
        self.until_first = self.until_first or passed
        self.busy, self.counted = passed - self.until_first, counts.joined
        workers = psutil.Process(os.getpid()).children(recursive=True)
        # The process has just ended, or a file was deleted meanwhile: the next call measures instead.
        with suppress(psutil.Error, OSError, WorldError):
            if counts.joined >= self._next:
                rss = sum(it.memory_info().rss for it in workers)
                files, size = size_of(self._store)
                self.seen.append((passed, _rows_in(self._store), files, size / 1e6, rss / 1e6))
                self._next += self._every
            if self._kill_at is not None and counts.joined >= self._kill_at:
                for it in workers:
                    it.send_signal(signal.SIGKILL)


def _rows_in(store: Path) -> int:
    try:
        return int(opened(store).open_table(POSTS).count_rows())
    except READ_ERRORS as error:
        raise WorldError(f"{store} cannot be read: {first_line(error)}") from None


def _posts(count: int) -> Iterator[bytes]:
    for number in range(count):
        post = {
            "global_id": f"{number:08d}-reddit",
            "author": f"user{number % 997}",
            "created_time": "2026-11-22T10:00:00+00:00",
            "desc": "a caption of some ordinary length, as people write them",
            "score": number % 5000,
            "url": f"https://images.example/{number:07x}.jpg",
            "source": "reddit",
        }
        yield orjson.dumps(post) + b"\n"


def _log(line: str) -> None:
    print(line, file=sys.stderr)

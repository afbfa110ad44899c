"""`memewax bench pipeline`: throughput of the whole flow, against exact engines and against a bare loop over models."""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import count
from pathlib import Path
from typing import IO, Annotated, Any, Final

import orjson
import typer

from core.errors import SettingsError, WorldError
from core.extras import needs_extra
from core.settings import PREFIX
from dataflows.all_settings import Settings, load_settings
from memewax.bench.bench_observing import spread
from memewax.bench.bench_topics import Topics
from memewax.bench.machine import machine
from memewax.commands.recovery import prepare_recovery
from memewax.commands.supervise import Job, run_job
from memewax.evaluation.data import LabelledPost, posts_of

_SNAPSHOT_SECONDS: Final = 10.0
_WARM: Final = 0.2
"""Share of the posts that is warm-up and not timed: caches fill during the first batches."""
_LEAST: Final = 10
"""Minimum number of posts for a rate."""


@dataclass(frozen=True, slots=True)
class PipelineRun:
    """One run over all posts."""

    rate: float
    """Throughput in posts per second, without the warm-up."""
    stages: dict[str, float]
    """Milliseconds per post in each step, summed over processes; empty for a bare loop."""


@needs_extra("bench", "memewax bench pipeline")
def pipeline(
    data: Annotated[Path, typer.Option("--data", help="A JSONL file of posts with ground truth, or its folder.")],
    limit: Annotated[int | None, typer.Option(min=_LEAST, help="Use only the first N posts.")] = None,
    runs: Annotated[
        int, typer.Option(min=1, help="Interleaved runs of each kind, of which the median is reported.")
    ] = 2,
    brokers: Annotated[
        str | None, typer.Option(help="HOST:PORT of a Kafka broker, to measure from topic to topic too.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda; by default that of the settings.")] = None,
    processes: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Number of processes to measure with; may be repeated. By default 1 and 2."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure the whole flow over real images, against `precision = exact` and against a bare loop over models."""
    settings = load_settings(**({"device": device} if device else {}))
    posts = posts_of(data, "text", limit)
    if len(posts) < _LEAST:
        raise SettingsError(f"{data} has {len(posts)} posts, and a rate needs {_LEAST}")
    with tempfile.TemporaryDirectory(prefix="memewax-bench-") as name:
        bench = _Bench(Path(name), posts, settings, runs)
        report = bench.report(sorted(set(processes or [1, 2])), brokers)
    sys.stdout.write(orjson.dumps(report, option=0 if as_json else orjson.OPT_INDENT_2).decode() + "\n")


class _Bench:
    def __init__(self, folder: Path, posts: Sequence[LabelledPost], settings: Settings, runs: int) -> None:
        self._folder = folder
        self._posts = posts
        self._settings = settings
        self._runs = runs
        self._numbers = count()
        self._lines = list(self._copied(posts))

    def report(self, processes: Sequence[int], brokers: str | None) -> dict[str, Any]:
        """Run all measurements and return the report."""
        if self._settings.models == "real" and self._settings.precision != "exact":
            self._from_files(1, self._settings.precision)  # warm-up: it may have to try the engines first
        # Interleaved (A B A B), so that drift of the machine affects both.
        ours, exact = self._interleaved(
            partial(self._from_files, 1, self._settings.precision), partial(self._from_files, 1, "exact")
        )
        efficiency: dict[str, float] = {}
        rates: dict[str, Any] = {"flow_exact_1": _rates(exact)}
        flows: dict[int, list[PipelineRun]] = {}
        bare: dict[int, list[PipelineRun]] = {}
        for number in processes:
            flows[number], bare[number] = self._interleaved(
                partial(self._from_files, number, self._settings.precision),
                partial(self._bare, number),
            )
            rates |= {f"flow_{number}": _rates(flows[number]), f"bare_{number}": _rates(bare[number])}
            efficiency[str(number)] = round(_median(flows[number]) / _median(bare[number]), 3)
        report: dict[str, Any] = {
            "posts_per_second": round(_median(ours), 3),
            "stages": _stages(ours),
            "efficiency": efficiency,
            "against_exact": round(_median(ours) / _median(exact), 3),
            "stages_exact": _stages(exact),
            "rates": {"flow": _rates(ours), **rates},
            "precision": self._settings.precision,
            "models": self._settings.models,
            "n": len(self._posts),
            "runs": self._runs,
            "machine": machine(),
        }
        if brokers:
            topics = {number: self._over_kafka(brokers, number) for number in processes}
            report["rates"] |= {f"kafka_{number}": _rates(found) for number, found in topics.items()}
            report["efficiency_kafka"] = {
                str(number): round(_median(found) / _median(bare[number]), 3) for number, found in topics.items()
            }
        return report

    def _interleaved(
        self, one: Callable[[], PipelineRun], other: Callable[[], PipelineRun]
    ) -> tuple[list[PipelineRun], list[PipelineRun]]:
        pairs = [(one(), other()) for _ in range(self._runs)]
        return [it for it, _ in pairs], [it for _, it in pairs]

    def _copied(self, posts: Sequence[LabelledPost]) -> Iterable[bytes]:
        """Copy all images into one folder, because a flow reads from `fetch_folder` only; yield the posts as JSON."""
        for number, it in enumerate(posts):
            name = f"{number}{it.image.suffix}"
            shutil.copyfile(it.image, self._folder / name)
            yield orjson.dumps(
                {
                    "global_id": f"{number}-bench",
                    "author": f"user{number % 97}",
                    "created_time": "2026-11-22T10:00:00+00:00",
                    "desc": "",
                    "score": 0,
                    "url": name,
                    "source": "bench",
                    "truth": {"text": it.truth},
                }
            )

    def _parts(self, processes: int) -> list[Path]:
        """Write one file of posts per process."""
        files = []
        for number in range(processes):
            file = self._folder / f"posts-{number}-of-{processes}.jsonl"
            file.write_bytes(b"".join(line + b"\n" for line in self._lines[number::processes]))
            files.append(file)
        return files

    def _from_files(self, processes: int, precision: str) -> PipelineRun:
        out = self._folder / f"records-{next(self._numbers)}.jsonl"
        self._say(f"flow, file to file, {precision}, {processes} processes")
        sources = tuple(str(file) for file in self._parts(processes))
        return self._flow(sources, str(out), precision, processes, lambda: out.read_bytes().splitlines())

    def _over_kafka(self, brokers: str, processes: int) -> list[PipelineRun]:
        with Topics(brokers) as topics:
            source = topics.address(topics.create_filled(self._lines))
            found = []
            for _ in range(self._runs):
                self._say(f"flow, topic to topic, {processes} processes")
                to = topics.create()
                found.append(
                    self._flow(
                        (source,),
                        topics.address(to),
                        self._settings.precision,
                        processes,
                        partial(topics.values, to),
                    )
                )
            return found

    def _flow(
        self,
        sources: tuple[str, ...],
        to: str,
        precision: str,
        processes: int,
        records: Callable[[], Iterable[bytes]],
    ) -> PipelineRun:
        folder = self._folder / f"run-{next(self._numbers)}"
        folder.mkdir()
        settings: dict[str, Any] = {
            "source": sources,
            "to": to,
            "dead_letters": str(folder / "dead.jsonl"),
            "follow": False,
            "precision": precision,
            "device": self._settings.device,
            "fetch_folder": self._folder,
            # Some two posts: a block of the default size has fifteen, so that one of two processes had up to fifteen
            # posts more to do than the other, which is nothing in a long stream and much in this short one.
            "file_block_bytes": 512,
            "state_dir": folder,  # new for each run, since the cache of an earlier run has all results
            "health_port": 0,
            "log_level": "warning",
        }
        prepare_recovery(folder / "recovery")
        job = Job("memes", settings, folder / "recovery", _SNAPSHOT_SECONDS, processes)
        ended = run_job(job, lambda _: None, self._say)
        done = [datetime.fromisoformat(orjson.loads(it)["joined_time"]).timestamp() for it in records()]
        milliseconds = {step: 1000 * spent / len(self._lines) for step, spent in ended.counts.step_seconds.items()}
        return PipelineRun(rate_of(done, len(self._lines)), milliseconds)

    def _bare(self, processes: int) -> PipelineRun:
        self._say(f"bare loop, {processes} processes")
        with tempfile.TemporaryFile("w+") as stderr:
            loops = [
                subprocess.Popen(
                    [sys.executable, "-m", "memewax.bench.bare_loop", str(file)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    env=_environment(self._settings, processes),
                    text=True,
                )
                for file in self._parts(processes)
            ]
            try:
                for loop in loops:
                    _line(loop, stderr)
                for loop in loops:
                    assert loop.stdin is not None
                    loop.stdin.write("\n")
                    loop.stdin.flush()
                done = [time for loop in loops for time in orjson.loads(_line(loop, stderr))]
            finally:
                for loop in loops:
                    loop.kill()
                    loop.communicate()
        return PipelineRun(rate_of(done, len(self._lines)), {})

    @staticmethod
    def _say(line: str) -> None:
        print(f"memewax: {line}", file=sys.stderr)


def rate_of(done: Sequence[float], posts: int) -> float:
    """Return the throughput in posts per second, without the first fifth, which is warm-up.

    It is the slope of a least-squares line through the number of posts done over time. A flow finishes posts in bursts
    of a batch per process, so the time between two single posts would depend on where in a burst they are.

    Args:
        done: Time at which each post was done, in seconds.
        posts: Number of posts that went in.

    Raises:
        WorldError: if another number came out, or all posts were done at once.
    """
    if len(done) != posts:
        raise WorldError(f"{posts} posts went in and {len(done)} came out: the run is invalid")
    later = sorted(done)[int(_WARM * len(done)) :]
    if later[0] == later[-1]:
        raise WorldError(f"{len(done)} posts were done at once: use more posts to measure a rate")
    return statistics.linear_regression(later, range(len(later))).slope


def _environment(settings: Settings, processes: int) -> dict[str, str]:
    overrides = {"processes": str(processes), "device": settings.device, "log_level": "warning"}
    return {**os.environ, **{f"{PREFIX}{name.upper()}": value for name, value in overrides.items()}}


def _line(loop: "subprocess.Popen[str]", stderr: IO[str]) -> str:
    """Read the next line of a loop's output; raises `WorldError` with the last line of its stderr if it has ended."""
    assert loop.stdout is not None
    line = loop.stdout.readline()
    if not line:
        loop.wait()
        stderr.seek(0)
        last = (stderr.read().strip().splitlines() or ["it printed nothing"])[-1]
        raise WorldError(f"a bare loop exited with code {loop.returncode}: {last}")
    return line


def _median(runs: Sequence[PipelineRun]) -> float:
    return statistics.median(run.rate for run in runs)


def _rates(runs: Sequence[PipelineRun]) -> dict[str, Any]:
    return spread([run.rate for run in runs])


def _stages(runs: Sequence[PipelineRun]) -> dict[str, float]:
    return {name: round(statistics.median(run.stages[name] for run in runs), 2) for name in runs[0].stages}

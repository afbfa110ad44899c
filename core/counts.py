"""Counters of a process, read from its metrics, and their sums over the processes of a run.

If `PROMETHEUS_MULTIPROC_DIR` names a folder, each process keeps its metrics in files there, which survive a `kill -9`.
"""

import os
import struct
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from itertools import chain
from pathlib import Path
from typing import Final

from prometheus_client import REGISTRY, CollectorRegistry, Metric
from prometheus_client.multiprocess import MultiProcessCollector

from core.telemetry import UNEXPOSED


@dataclass(frozen=True, slots=True)
class RunCounts:
    """Sums over all processes since the start of this run."""

    posts: int = 0
    joined: int = 0
    partial: int = 0
    updated: int = 0
    duplicates: int = 0
    retry_waiting: int = 0
    """Posts whose image will be fetched again."""
    dead_letters: int = 0
    clusters: int = 0
    lag: int = 0
    queries: int = 0
    answers: int = 0
    """To queries, error answers included."""
    answer_errors: int = 0
    images: int = 0
    failed_images: int = 0
    reasons: dict[tuple[str, str], int] = field(default_factory=dict)
    """Number of dead letters by (stage, kind)."""
    ready: int = 0
    """Number of processes whose models are loaded."""
    requests: int = 0
    """Requests to polled services."""
    skipped: dict[str, int] = field(default_factory=dict)
    """Items listed by services that are not posts, by reason."""
    removals: int = 0
    """Deletes and hidden accounts."""
    behind: float = 0.0
    """Seconds; the largest age of the newest post of a live stream when it entered the flow."""
    share_kept: float = 1.0
    """Smallest share of posts that a process reads."""
    step_seconds: dict[str, float] = field(default_factory=dict)
    """Time spent in each step, in seconds."""


NUMBERS: Final = tuple(it.name for it in fields(RunCounts) if it.type is int)
"""Names of the counts that are a single integer."""


def total(counts: Iterable[RunCounts]) -> RunCounts:
    """Sum counts over processes; for clusters take the maximum, since every process counts the same ones."""
    sums: dict[str, int] = defaultdict(int)
    reasons: dict[tuple[str, str], int] = defaultdict(int)
    skipped: dict[str, int] = defaultdict(int)
    steps: dict[str, float] = defaultdict(float)
    behind, share = 0.0, 1.0
    for each in counts:
        behind, share = max(behind, each.behind), min(share, each.share_kept)
        for name in NUMBERS:
            value = getattr(each, name)
            sums[name] = max(sums[name], value) if name == "clusters" else sums[name] + value
        for reason, count in each.reasons.items():
            reasons[reason] += count
        for why, count in each.skipped.items():
            skipped[why] += count
        for step, seconds in each.step_seconds.items():
            steps[step] += seconds
    return RunCounts(
        **sums,
        reasons=dict(reasons),
        skipped=dict(skipped),
        behind=behind,
        share_kept=share,
        step_seconds=dict(steps),
    )


def read_counts(folder: Path) -> RunCounts:
    """Read the counts of all processes that keep their metrics in `folder`."""
    return counts_in(_collected(folder))


def own_counts() -> RunCounts:
    """Return the counts of this process and of all others that share its metrics folder."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    return read_counts(Path(folder)) if folder else counts_in(metrics_here())


def metrics_here() -> list[Metric]:
    """Return all metrics of this process alone."""
    return list(chain(REGISTRY.collect(), UNEXPOSED.collect()))


def counts_in(metrics: Iterable[Metric]) -> RunCounts:
    """Extract the counts from metrics."""
    sums: dict[str, float] = defaultdict(float)
    outcomes: dict[str, float] = defaultdict(float)
    answers: dict[str, float] = defaultdict(float)
    steps: dict[str, float] = defaultdict(float)
    skipped: dict[str, int] = defaultdict(int)
    images: dict[bool, float] = defaultdict(float)
    reasons: dict[tuple[str, str], int] = defaultdict(int)
    metrics = list(metrics)
    for metric in metrics:
        for sample in metric.samples:
            sums[sample.name] += sample.value
            if sample.name == "memewax_records_total":
                outcomes[sample.labels["outcome"]] += sample.value
            elif sample.name == "memewax_answers_total":
                answers[sample.labels["outcome"]] += sample.value
            elif sample.name == "memewax_fetches_total":
                images[sample.labels["outcome"] == "ok"] += sample.value
            elif sample.name == "memewax_reasons_total":
                reasons[sample.labels["stage"], sample.labels["kind"]] += int(sample.value)
            elif sample.name == "memewax_skipped_total":
                skipped[sample.labels["reason"]] += int(sample.value)
            elif sample.name == "memewax_step_seconds_sum":
                steps[sample.labels["step"]] += sample.value
    return RunCounts(
        posts=int(sums["memewax_posts_total"] - sums["memewax_duplicates_total"]),
        joined=int(outcomes["joined"]),
        partial=int(outcomes["partial"]),
        updated=int(outcomes["updated"]),
        duplicates=int(sums["memewax_duplicates_total"]),
        retry_waiting=int(sums["memewax_retry_waiting"]),
        dead_letters=int(sums["memewax_dead_letters_total"]),
        clusters=int(sums["memewax_clusters"]),
        lag=int(sums["memewax_source_lag"]),
        queries=int(sums["memewax_queries_total"]),
        answers=int(sum(answers.values())),
        answer_errors=int(answers["error"]),
        images=int(images[True]),
        failed_images=int(images[False]),
        reasons=dict(reasons),
        ready=int(sums["memewax_ready"]),
        requests=int(sums["memewax_service_requests_total"]),
        skipped=dict(sorted(skipped.items())),
        removals=int(sum(_values(metrics, "memewax_removals_total", "delete", "hide"))),
        behind=max(_values(metrics, "memewax_stream_behind_seconds"), default=0.0),
        share_kept=min((it for it in _values(metrics, "memewax_share_kept") if it), default=1.0),  # 0 before it is set
        step_seconds=dict(steps),
    )


def _values(metrics: Iterable[Metric], name: str, *kinds: str) -> list[float]:
    """Return the values of a metric; if `kinds` are given, only samples with these labels."""
    found = (sample for metric in metrics for sample in metric.samples if sample.name == name)
    return [sample.value for sample in found if not kinds or sample.labels.get("kind") in kinds]


def _collected(folder: Path) -> list[Metric]:
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(folder))  # type: ignore[no-untyped-call]
    try:
        return list(registry.collect())
    except struct.error:  # a process has just created its file and not written to it; the next read will succeed
        return []

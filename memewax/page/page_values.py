"""Plain values of bounded size, for JSON and views."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from core.status import FlowStatus
from core.untrusted_text import shortened

Plain = dict[str, Any]

MOST: Final = 100
"""Maximum items of a page of results."""
_ITEMS: Final = 300
"""Maximum items of a list or mapping within a post, such as lines, entities or fields."""
_NAME: Final = 280
"""Maximum characters of a name."""


def bounded(value: Any, most: int) -> Any:
    """Shorten texts and lists within an untrusted value."""
    if isinstance(value, str):
        return shortened(value, most)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {bounded(str(name), _NAME): bounded(it, most) for name, it in list(value.items())[:_ITEMS]}
    if isinstance(value, list):
        return [bounded(it, most) for it in value[:_ITEMS]]
    return value


def flow_json(it: FlowStatus) -> Plain:
    """Return the status of a flow, summed over its processes."""
    counts = it.counts
    return {
        "flow": it.flow,
        "state": it.state,
        "is_running": it.is_running,
        "silent_seconds": round(it.silent_seconds, 1),
        "line": it.line,
        "posts": counts.posts,
        "dead_letters": counts.dead_letters,
        "clusters": counts.clusters,
        "posts_a_second": round(sum(one.rates.get("posts", 0.0) for one in it.processes), 2),
        "lag": sum(one.lag for one in it.processes),
        "share_kept": min((one.share_kept for one in it.processes), default=1.0),
        "sources": sorted({bounded(name, _NAME) for one in it.processes for name in one.sources}),
        "queues": _sums(one.queues for one in it.processes),
        "failures": [
            {"stage": one.stage, "kind": bounded(one.kind, _NAME), "count": one.count}
            for each in it.processes
            for one in each.failures
        ][:MOST],
        "processes": [
            {
                "process": one.process,
                "state": one.state,
                "memory_mb": round(one.memory_bytes / 1e6),
                "started": one.started.isoformat(),
                "written": one.written.isoformat(),
                "versions": one.versions,
            }
            for one in it.processes
        ],
    }


def _sums(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for each in counts:
        for name, count in each.items():
            found[name] = found.get(name, 0) + count
    return found

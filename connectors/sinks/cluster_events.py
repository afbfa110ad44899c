"""What becomes of clusters, on its way out: a message for readers of a topic, a row for readers of the store."""

from datetime import UTC, datetime
from typing import Any, Final

import orjson

from core.columns import Column, Integer, Table, Text
from core.records import ClusterEvent

CLUSTERS: Final = Table(
    "clusters",
    "cluster",
    (
        Column("cluster", Integer(), "Its id; there is a row for each that ever was."),
        Column("state", Text(), "`live`, `merged` or `retired`."),
        Column("into", Integer(), "The cluster that it was merged into."),
        Column("changed_time", Text(), "When that became so."),
    ),
)
_STATES: Final = {"birth": "live", "merge": "merged", "retire": "retired"}


def row_of_event(event: ClusterEvent) -> dict[str, Any]:
    """The cluster as it is after the event: live, merged `into` another, or retired."""
    return {
        "cluster": event.cluster,
        "state": _STATES[event.kind],
        "into": event.into,
        "changed_time": _now(),
    }


def json_of_event(event: ClusterEvent) -> bytes:
    """The event as a message; of a merge it says `from` and `into`."""
    told = {"event": event.kind, "cluster": event.cluster, "time": _now()}
    if event.into is not None:
        told |= {"from": event.cluster, "into": event.into}
    return orjson.dumps(told)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")

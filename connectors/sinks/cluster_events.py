"""Cluster events as output: a message for readers of a topic, a row for readers of the store."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from core.columns import Column, Integer, ListOf, Table, Text
from core.records import ClusterEvent

CLUSTERS: Final = Table(
    "clusters",
    "cluster",
    (
        Column("cluster", Integer(), "Id of the cluster; every cluster that ever had two posts has a row."),
        Column("state", Text(), "`live`, `merged` or `retired`."),
        Column("into", Integer(), "The cluster that it was merged into."),
        Column("changed_time", Text(), "When the state last changed."),
        Column("split_from", Integer(), "If its last change was a split: the cluster that it was split from."),
        Column("moved", ListOf(Text()), "The posts that the split moved here."),
    ),
)
_STATES: Final = {"birth": "live", "merge": "merged", "split": "live", "retire": "retired", "revive": "live"}
_MOST_POSTS: Final = 1000
"""Maximum ids in one message, so that it fits into a topic; an id has at most 512 characters."""


def event_row(event: ClusterEvent) -> int:
    """Return the cluster whose row an event changes: for a split the new one, since the old one is unchanged."""
    return event.into if event.kind == "split" and event.into is not None else event.cluster


def in_pieces(event: ClusterEvent) -> Iterator[ClusterEvent]:
    """Yield equivalent events with at most as many posts as fit into a message."""
    for start in range(0, max(1, len(event.posts)), _MOST_POSTS):
        yield replace(event, posts=event.posts[start : start + _MOST_POSTS])


def row_of_event(event: ClusterEvent) -> dict[str, Any]:
    """Return the cluster's row after an event: live, merged `into` another cluster, or retired."""
    is_split = event.kind == "split"
    return {
        "cluster": event_row(event),
        "state": _STATES[event.kind],
        "into": event.into if event.kind == "merge" else None,
        "changed_time": _now(),
        "split_from": event.cluster if is_split else None,
        "moved": list(event.posts) if is_split else None,
    }


def json_of_event(event: ClusterEvent) -> bytes:
    """Encode an event as a JSON message; a merge and a split have `from` and `into`, a split also the moved posts."""
    body: dict[str, Any] = {"event": event.kind, "cluster": event_row(event), "time": _now()}
    if event.into is not None:
        body |= {"from": event.cluster, "into": event.into}
    if event.kind == "split":
        body["posts"] = list(event.posts)
    return orjson.dumps(body)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")

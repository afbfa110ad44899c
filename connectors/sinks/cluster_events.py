"""What becomes of clusters, on its way out: a message for readers of a topic, a row for readers of the store."""

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
        Column("cluster", Integer(), "Its id; there is a row for each that ever had two posts."),
        Column("state", Text(), "`live`, `merged` or `retired`."),
        Column("into", Integer(), "The cluster that it was merged into."),
        Column("changed_time", Text(), "When that became so."),
        Column("split_from", Integer(), "Where a split was the last that became of it: the cluster it was a part of."),
        Column("moved", ListOf(Text()), "The posts that moved here then."),
    ),
)
_STATES: Final = {"birth": "live", "merge": "merged", "split": "live", "retire": "retired", "revive": "live"}
_MOST_POSTS: Final = 1000
"""Ids in one message, which has to fit into a topic; an id has 512 characters at most."""


def event_row(event: ClusterEvent) -> int:
    """The cluster whose news it is: of a split the new one, since nothing becomes of the old one."""
    return event.into if event.kind == "split" and event.into is not None else event.cluster


def in_pieces(event: ClusterEvent) -> Iterator[ClusterEvent]:
    """Events that come to the same, none of which has more posts than fit into a message."""
    for start in range(0, max(1, len(event.posts)), _MOST_POSTS):
        yield replace(event, posts=event.posts[start : start + _MOST_POSTS])


def row_of_event(event: ClusterEvent) -> dict[str, Any]:
    """The cluster as it is after the event: live, merged `into` another, or retired."""
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
    """The event as a message; a merge and a split say `from` and `into`, a split also the posts that move."""
    told: dict[str, Any] = {"event": event.kind, "cluster": event_row(event), "time": _now()}
    if event.into is not None:
        told |= {"from": event.cluster, "into": event.into}
    if event.kind == "split":
        told["posts"] = list(event.posts)
    return orjson.dumps(told)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")

"""What becomes of clusters, on its way out: a message for readers of a topic, a row for readers of the store."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson
import pyarrow as pa
from bytewax.outputs import FixedPartitionedSink

from connectors.endpoints import part_name
from connectors.store.keyed_table import KeyedTable
from connectors.store.posts_table import StorePart
from core.records import ClusterEvent

TABLE: Final = "clusters"
_STATES: Final = {"birth": "live", "merge": "merged", "retire": "retired"}


def clusters_schema() -> pa.Schema:
    """Columns of the table of clusters, one row for each id that ever was."""
    return pa.schema({"cluster": pa.int64(), "state": pa.string(), "into": pa.int64(), "changed_time": pa.string()})


def clusters_table(folder: Path) -> KeyedTable:
    """The table in a store; raises `WorldError` where it cannot be opened."""
    return KeyedTable(folder, TABLE, "cluster", clusters_schema())


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


class ClusterSink(FixedPartitionedSink[dict[str, Any], dict[str, Any]]):
    """Upserts rows of clusters; one worker writes. Replayed events end in the same rows, since they come in order."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    def check(self) -> None:
        """Open the table once, to raise `WorldError` before anything is read."""
        clusters_table(self._folder)

    def list_parts(self) -> list[str]:
        """The folder, as the one part."""
        return [part_name(self._folder)]

    def build_part(self, step_id: str, for_part: str, resume_state: dict[str, Any] | None) -> StorePart:  # noqa: ARG002
        """Open the table."""
        return StorePart(clusters_table(self._folder))

"""A store in a bucket as a whole: its tables looked at."""

from dataclasses import dataclass

from connectors.objects.object_store import ObjectStore
from core.errors import WorldError


@dataclass(frozen=True, slots=True)
class BucketFacts:
    """What a table of all writers is like."""

    table: str
    writers: int
    rows: int
    doubled: int
    """Rows whose key another row of the same writer has too."""


def facts_of_bucket(store: ObjectStore) -> list[BucketFacts]:
    """Look at each table, reading its keys; raises `WorldError` where there is none, or one cannot be read."""
    found = []
    for name in store.names():
        table = store.table(name)
        seen: set[object] = set()
        rows = 0
        for batch in table.batches([table.key]):
            rows += len(batch)
            seen.update(batch.column(0).to_pylist())
        found.append(BucketFacts(name, len(store.writers_of(name)), rows, rows - len(seen)))
    if not found:
        raise WorldError(f"{store} is no store: name what memewax wrote to with --store")
    return found

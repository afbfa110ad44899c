"""The tables of a store and their primary keys."""

from typing import Final

from connectors.sinks.cluster_events import CLUSTERS
from connectors.sinks.record_table import HIDDEN, POSTS, THUMBNAILS

ANSWER_TABLES: Final = {"answers": "id", "results": "id"}
"""Tables of answers and their keys; rows of `results`, the first version's table, quote no posts."""
KEYS: Final = {
    POSTS: "global_id",
    HIDDEN: "global_id",
    CLUSTERS.name: CLUSTERS.key,
    THUMBNAILS.name: THUMBNAILS.key,
    **ANSWER_TABLES,
}
"""Tables that flows and the server write, and their keys."""
_OF_A_CORPUS: Final = "id"


def key_of(table: str) -> str:
    """Return the primary key of a table; a table that no flow writes is a corpus."""
    return KEYS.get(table, _OF_A_CORPUS)

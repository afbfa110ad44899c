"""The table of posts in a store, one row per `global_id`."""

from pathlib import Path
from typing import Final

import pyarrow as pa

from connectors.sinks.record_table import POSTS, posts_table
from connectors.store.arrow_schema import arrow_schema
from connectors.store.stored_table import StoredTable

TABLE: Final = POSTS


def posts_schema(image_dimension: int, text_dimension: int) -> pa.Schema:
    """Columns of the table; both embeddings are float32 vectors of a fixed length."""
    return arrow_schema(posts_table(image_dimension, text_dimension))


class PostStore(StoredTable):
    """The table of posts in a folder; what is written twice is there once."""

    def __init__(self, folder: Path, image_dimension: int, text_dimension: int) -> None:
        """Open or create it; raises `WorldError` where it cannot be, or holds vectors of other models."""
        super().__init__(folder, posts_table(image_dimension, text_dimension))

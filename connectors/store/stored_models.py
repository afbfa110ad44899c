"""Look-up of the models that computed the vectors of a store."""

from connectors.sinks.record_table import POSTS
from connectors.store.interface import Condition, StorePlace, TableReader
from connectors.store.lance_tables import tables_of
from core.columns import VectorOf
from models.stages import STAGES


def models_in(store: StorePlace) -> dict[str, str]:
    """Return, for each stage with vectors in a store, its model as far as rows record it; raises `WorldError`."""
    tables = tables_of(store)
    if not tables.has(POSTS):
        return {}
    columns = [(stage.name, it.column) for stage in STAGES for it in stage.columns]
    vectors = {stage: column.name for stage, column in columns if isinstance(column.type, VectorOf)}
    posts = tables.table(POSTS)
    return {stage: model for stage, column in vectors.items() if (model := model_of(posts, column, stage))}


def model_of(posts: TableReader, column: str, stage: str) -> str:
    """Return the model of a vector column as recorded by one of its rows; empty if none is recorded."""
    if not {column, "models"} <= set(posts.schema.names):
        return ""
    rows = posts.to_arrow(["models"], [Condition(column, "is not null")], limit=1).to_pylist()
    return str((rows[0]["models"] or {}).get(stage) or "") if rows else ""

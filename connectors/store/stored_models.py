"""Which models made the vectors of a store, as its rows tell."""

from connectors.sinks.record_table import POSTS
from connectors.store.interface import Condition, StorePlace, TableReader
from connectors.store.lance_tables import tables_of
from core.columns import VectorOf
from models.stages import STAGES


def models_in(store: StorePlace) -> dict[str, str]:
    """The model of each stage whose vectors a store holds, as far as it tells; raises `WorldError`."""
    tables = tables_of(store)
    if not tables.has(POSTS):
        return {}
    columns = [(stage.name, it.column) for stage in STAGES for it in stage.columns]
    vectors = {stage: column.name for stage, column in columns if isinstance(column.type, VectorOf)}
    posts = tables.table(POSTS)
    return {stage: model for stage, column in vectors.items() if (model := model_of(posts, column, stage))}


def model_of(posts: TableReader, column: str, stage: str) -> str:
    """The model of a column of vectors, as one of the rows tells it; empty where none does."""
    if not {column, "models"} <= set(posts.schema.names):
        return ""
    rows = posts.whole(["models"], [Condition(column, "is not null")], limit=1).to_pylist()
    return str((rows[0]["models"] or {}).get(stage) or "") if rows else ""

"""Which models made the vectors of a store, as its rows tell."""

from pathlib import Path
from typing import Any

from connectors.sinks.record_table import POSTS
from connectors.store.store_folder import READ_ERRORS, opened, read_latest
from core.columns import VectorOf
from core.errors import WorldError, first_line
from models.stages import STAGES


def models_in(store: Path) -> dict[str, str]:
    """The model of each stage whose vectors a store holds, as far as it tells; raises `WorldError`."""
    if not (store / f"{POSTS}.lance").is_dir():
        return {}
    columns = [(stage.name, it.column) for stage in STAGES for it in stage.columns]
    vectors = {stage: column.name for stage, column in columns if isinstance(column.type, VectorOf)}

    def read() -> dict[str, str]:
        table = opened(store).open_table(POSTS)
        return {stage: model_of(table, column, stage) for stage, column in vectors.items()}

    try:
        return {stage: model for stage, model in read_latest(read).items() if model}
    except READ_ERRORS as error:
        raise WorldError(f"{store} cannot be read: {first_line(error)}") from None


def model_of(posts: Any, column: str, stage: str) -> str:
    """The model of a column of vectors, as one of the rows tells it; empty where none does."""
    if not {column, "models"} <= set(posts.schema.names):
        return ""
    rows = posts.search().where(f"{column} IS NOT NULL").select(["models"]).limit(1).to_list()
    return str((rows[0]["models"] or {}).get(stage) or "") if rows else ""

"""Settings of search: store, corpus and index."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from connectors.connector_settings import FetchSettings
from core.settings import Group
from models.model_settings import ModelSettings


class SearchSettings(Group):
    """Which corpus is searched, and how."""

    store: Path = Field(Path("store"), description="Folder of the store whose corpora are searched.")

    @field_validator("store", mode="before")
    @classmethod
    def _no_address(cls, value: Any) -> Any:
        if isinstance(value, str) and "://" in value:
            raise ValueError("expected a folder: name a store at an address with --store")
        return value

    corpus: str = Field(
        "", description="Corpus for queries that name none; empty: the only one that there is, or else posts."
    )

    corpus_refresh_seconds: float = Field(
        1.0, ge=0, le=3600, description="Seconds after which a search refreshes a corpus: new rows are found then."
    )

    index: Literal["auto", "exact", "onebit"] = Field(
        "auto", description="Index of a corpus: exact, onebit (approximate) or auto (exact while the corpus is small)."
    )

    index_exact_rows: int = Field(
        200_000, ge=0, description="auto: most rows for exact search, which then takes some 10 ms on two cores."
    )

    index_shortlist: int = Field(
        500,
        ge=10,
        le=100_000,
        description="onebit: candidates per query that are ranked by exact cosine; more give more recall and cost more.",
    )

    index_reduced: str = Field(
        "",
        description="Name of a reduction, such as trained-150: corpora that have it are searched by its shorter vectors.",
    )


class EmbedderSettings(ModelSettings, FetchSettings):
    """Settings that load the models of queries."""

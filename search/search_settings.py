"""Settings of search: which store and corpus, and how it is searched."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from connectors.connector_settings import FetchSettings
from core.settings import Group
from models.model_settings import ModelSettings


class SearchSettings(Group):
    """Which corpus is searched, and how."""

    store: Path = Field(Path("store"), description="Folder of corpora, in which nearest texts are looked for.")

    @field_validator("store", mode="before")
    @classmethod
    def _no_address(cls, value: Any) -> Any:
        if isinstance(value, str) and "://" in value:
            raise ValueError("it is a folder: a store elsewhere is named with --store")
        return value

    corpus: str = Field(
        "", description="Corpus that is searched where a query names none; empty: posts, or the only one that there is."
    )

    corpus_refresh_seconds: float = Field(
        1.0, ge=0, le=3600, description="How old what is searched may be: new rows of a corpus are found after so long."
    )

    index: Literal["auto", "exact", "onebit"] = Field(
        "auto", description="How a corpus is searched. auto: exact while it is small, then by bits with exact cosines."
    )

    index_exact_rows: int = Field(
        200_000, ge=0, description="auto: up to so many rows all are compared, which takes some 10 ms on two cores."
    )

    index_shortlist: int = Field(
        500,
        ge=10,
        le=100_000,
        description="onebit: rows whose exact cosine is looked at; more find more, and cost more.",
    )

    index_reduced: str = Field(
        "", description="Name of a reduction, as trained-150: corpora that have it are searched by its shorter vectors."
    )


class EmbedderSettings(ModelSettings, FetchSettings):
    """What the models of queries are loaded by."""

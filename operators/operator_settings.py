"""Settings of the steps of a flow."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from connectors.chosen_endpoints import Destinations, ReadSettings, WriteSettings, refuse_loop
from connectors.connector_settings import FetchSettings, ResultCacheSettings
from connectors.endpoint import Endpoint
from connectors.endpoints import ANSWERS_TO, EMBEDDINGS_TO, QUERIES_FROM, endpoint
from connectors.folder import Folder
from core.settings import LONGEST_WAIT, Group, split_at_commas
from models.model_settings import RuntimeSettings
from search.search_settings import SearchSettings


class InputSettings(RuntimeSettings, FetchSettings, ReadSettings):
    """Settings of the input of a flow."""


class OutputSettings(WriteSettings, ResultCacheSettings):
    """Settings of the outputs of a flow."""

    thumbnail_side: int = Field(
        320,
        ge=0,
        le=1024,
        description="Longer side in pixels of the thumbnails that a store keeps, as WebP; 0: none.",
    )

    def wanted_thumbnails(self) -> int:
        """Return the longer side of thumbnails in pixels; 0 if no sink keeps any."""
        return self.thumbnail_side if any(it.takes_rows for it in Destinations.of(self).sinks) else 0


class JoinSettings(Group):
    """How long the join waits for stage results."""

    join_deadline_seconds: float = Field(
        300.0,
        gt=0,
        le=LONGEST_WAIT,
        description="Seconds after its first part (the post or a stage result) reaches the join at which a post is written without the stage results that are missing.",
    )

    join_late_seconds: float = Field(
        300.0, ge=0, le=LONGEST_WAIT, description="Seconds after its deadline in which a late result updates a record."
    )


class TapSettings(OutputSettings):
    """Where taps write the streams inside the flow."""

    taps: str = Field(
        "",
        description="kafka://HOST:PORT to which the streams inside the flow are also written, on the first version's eleven topics; empty: none.",
    )

    taps_only: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Which of those topics to write, for instance vit2cluster; empty: all."
    )

    _split_taps = field_validator("taps_only", mode="before")(split_at_commas)


class QuerySettings(SearchSettings, ReadSettings):
    """Where queries are read from, and answers written to."""

    def written(self) -> list[Endpoint[Any]]:
        """Return all endpoints that are written; raises `SettingsError` for an invalid address."""
        read = endpoint(self.queries, QUERIES_FROM)
        chosen = ((self.answers, ANSWERS_TO), (self.sentence_embeddings, EMBEDDINGS_TO))
        written = [endpoint(address, role) for address, role in chosen if address]
        for it in written:
            refuse_loop(it, read)
        return [Folder.at(self.store), *written]

    queries: str = Field("", description=f"Where to read queries: {QUERIES_FROM.forms()}.")

    answers: str = Field("", description=f"Where to write answers besides the store: {ANSWERS_TO.forms()}.")

    query_batch: int = Field(
        32, ge=1, le=1024, description="Maximum queries of a partition answered together; a single one never waits."
    )

    answer_images: bool = Field(
        True, description="Also load the image model, to answer queries by image; without it they get an error answer."
    )

    queries_form: Literal["memewax", "first-version"] = Field(
        "memewax",
        description="first-version: bodies and results have the form of the first version, {sentence_to_encode}.",
    )

    sentence_embeddings: str = Field(
        "",
        description=f"Where to write each sentence with its vector, as the first version did: {EMBEDDINGS_TO.forms()}.",
    )

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
    """What the input of a flow is made of."""


class OutputSettings(WriteSettings, ResultCacheSettings):
    """What the outputs of a flow are made of."""

    thumbnail_side: int = Field(
        320,
        ge=0,
        le=1024,
        description="Pixels of the longer side of the small images that a store keeps, as WebP; 0: none.",
    )

    def wanted_thumbnails(self) -> int:
        """Pixels of the longer side of thumbnails; 0 where no sink keeps any."""
        return self.thumbnail_side if any(it.takes_rows for it in Destinations.of(self).sinks) else 0


class JoinSettings(Group):
    """How long the join waits."""

    join_deadline_seconds: float = Field(
        300.0,
        gt=0,
        le=LONGEST_WAIT,
        description="So long after the flow took a post in it goes out without the sides that have not answered.",
    )

    join_late_seconds: float = Field(
        300.0, ge=0, le=LONGEST_WAIT, description="For so long after its deadline a late side still updates a record."
    )


class TapSettings(OutputSettings):
    """Where the streams inside the flow go besides."""

    taps: str = Field(
        "",
        description="kafka://HOST:PORT where the streams inside the flow go to the first version's eleven topics too; empty: nowhere.",
    )

    taps_only: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Of those topics the ones that are written, for instance vit2cluster; empty: all."
    )

    _split_taps = field_validator("taps_only", mode="before")(split_at_commas)


class QuerySettings(SearchSettings, ReadSettings):
    """Where queries come from and answers go."""

    def written(self) -> list[Endpoint[Any]]:
        """All places that are written; raises `SettingsError` where an address cannot be."""
        read = endpoint(self.queries, QUERIES_FROM)
        chosen = ((self.answers, ANSWERS_TO), (self.sentence_embeddings, EMBEDDINGS_TO))
        written = [endpoint(address, role) for address, role in chosen if address]
        for it in written:
            refuse_loop(it, read)
        return [Folder.at(self.store), *written]

    queries: str = Field("", description=f"Where queries come from: {QUERIES_FROM.forms()}.")

    answers: str = Field("", description=f"Where answers go beside the table in the store: {ANSWERS_TO.forms()}.")

    query_batch: int = Field(
        32, ge=1, le=1024, description="Queries of one partition answered together, at most; a lone one never waits."
    )

    answer_images: bool = Field(
        True, description="Load the image model too, to answer queries by image; without it they get an error answer."
    )

    queries_form: Literal["memewax", "first-version"] = Field(
        "memewax", description="first-version: bodies and results as in the first version, {sentence_to_encode}."
    )

    sentence_embeddings: str = Field(
        "",
        description=f"Where each sentence goes with its vector, as the first version passed them on: {EMBEDDINGS_TO.forms()}.",
    )

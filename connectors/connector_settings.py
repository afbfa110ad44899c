"""Settings of sources, sinks and fetching; those of each kind of endpoint stand beside it."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from connectors.endpoint import Endpoint, SourceOptions
from connectors.endpoints import DEAD_LETTERS_TO, EVENTS_TO, POSTS_FROM, RECORDS_TO
from connectors.fetching.allow_settings import AllowSettings
from core.settings import LONGEST_WAIT, DeleteSettings, Group, RecoverySettings, one_or_list


class SourceSettings(RecoverySettings, DeleteSettings):
    """Where posts come from, and how they are dealt out."""

    source: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description=f"Where posts come from: {POSTS_FROM.forms()}; several as a JSON list."
    )

    follow: bool | None = Field(
        None, description="Wait for more at the end of the source; by default topics are followed and files are not."
    )

    read_batch: int = Field(
        8,
        ge=1,
        le=10_000,
        description="Posts that go through the flow together, at most: a model batch or a few. Snapshots are between them.",
    )

    sample: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Share of the posts that is read, chosen by what their images are (CID, or else URL): all posts of one image, or none.",
    )

    overload: Literal["lag", "sample"] = Field(
        "lag",
        description="Where posts come faster than they are handled: lag says how far behind they are, sample reads a lower share of them, chosen as by sample.",
    )

    max_lag_seconds: float = Field(
        60.0, ge=1, le=LONGEST_WAIT, description="With overload sample: how old posts of a live stream are at most."
    )

    requests_only: bool = Field(
        False, description="Read nothing of the source: do what was asked of the flow by commands, and end."
    )

    def options_of(self, endpoint: Endpoint[Any]) -> SourceOptions:
        """How a source of posts is read."""
        follow = endpoint.is_followed if self.follow is None else self.follow
        return SourceOptions(self.read_batch, follow, are_posts=True)

    _listed_source = field_validator("source", mode="before")(one_or_list)


class SinkSettings(Group):
    """Where records, dead letters and cluster events go."""

    to: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description=f"Sinks: {RECORDS_TO.forms()}; several as a JSON list."
    )

    dead_letters: str = Field(
        "",
        description=f"Sink of dead letters: {DEAD_LETTERS_TO.forms()}; by default beside the first sink.",
    )

    cluster_events: str = Field(
        "",
        description=f"Sink of what becomes of clusters: {EVENTS_TO.forms()}; a store has them anyway.",
    )

    state_dir: Path | None = Field(
        None,
        description="Folder of what a store keeps beside its tables, control/ for one, where no sink is a folder; by default beside the recovery folder.",
    )

    _listed_to = field_validator("to", mode="before")(one_or_list)


class ResultCacheSettings(Group):
    """What is kept of images and texts that come again."""

    cache: Literal["exact", "near", "off"] = Field(
        "exact",
        description="exact: an image or text that is the same, to the byte, as one before is looked at no more; near: nor is an image that is a copy of one, scaled or recompressed for instance, at a small risk; off: all are.",
    )

    cache_bytes: int = Field(
        2**30, ge=2**20, description="Bytes of what is kept of them for that, on each machine; the oldest goes first."
    )

    cache_folder: Path | None = Field(
        None, description="Where it is kept; by default cache/ in the store, or in state_dir where there is no store."
    )


class FetchSettings(AllowSettings):
    """How images are fetched, and what is refused."""

    fetch_folder: Path | None = Field(
        None, description="Relative and file: URLs must lie in this folder; by default the folder of the source."
    )

    fetch_concurrency: int = Field(16, ge=1, le=1024, description="Images fetched at the same time by each process.")

    fetch_per_host: int = Field(
        8, ge=1, le=1024, description="Of those, from one host: a slow one does not take them all, nor is it overrun."
    )

    fetch_ahead_posts: int = Field(
        64, ge=1, le=100_000, description="Posts fetched while the models are busy, at most."
    )

    fetch_ahead_bytes: int = Field(256 * 2**20, ge=2**20, description="Decoded images waiting for the models, at most.")

    fetch_max_bytes: int = Field(
        32 * 2**20, ge=1024, description="A larger image file is refused, whatever its header says."
    )

    fetch_timeout_seconds: float = Field(
        20.0,
        gt=0,
        le=600,
        description="For one image in all, from finding its host to the last byte of the last try.",
    )

    fetch_connect_seconds: float = Field(
        5.0, gt=0, le=600, description="To find a host, and to connect to it; one that is there answers sooner."
    )

    fetch_read_seconds: float = Field(10.0, gt=0, le=600, description="Between two bytes of an image, at most.")

    fetch_tries: int = Field(
        3,
        ge=1,
        le=20,
        description="Requests for one image where one fails that may succeed later: a busy server, a broken connection.",
    )

    retry_tries: int = Field(
        12,
        ge=0,
        le=100,
        description="Further tries, later and later, for an image that could not be fetched and may yet be there: after 2 s, 4 s, 8 s and so on, at most an hour; 0: none.",
    )

    retry_wait_seconds: float = Field(
        10.0,
        ge=0,
        le=LONGEST_WAIT,
        description="At the end of its sources a run waits so long for such tries; the next run makes those that are left.",
    )

    fetch_max_pixels: int = Field(
        64_000_000,
        ge=1,
        le=178_000_000,
        description="An image of more pixels is refused before it is decoded; nor are more decoded at the same time.",
    )

    fetch_max_side: int = Field(
        2560,
        ge=32,
        description="Larger images are scaled down to this: no model here looks closer, and memory stays bounded.",
    )

"""Settings of sources, sinks, the result cache and fetching; each kind of endpoint defines its own beside it."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from connectors.endpoint import Endpoint, SourceOptions
from connectors.endpoints import DEAD_LETTERS_TO, EVENTS_TO, POSTS_FROM, RECORDS_TO
from connectors.fetching.allow_settings import AllowSettings
from core.settings import LONGEST_WAIT, DeleteSettings, Group, RecoverySettings, one_or_list


class SourceSettings(RecoverySettings, DeleteSettings):
    """Where posts come from, and how they are read."""

    source: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description=f"Where posts come from: {POSTS_FROM.forms()}; several as a JSON list."
    )

    follow: bool | None = Field(
        None,
        description="Wait for more posts at the end of the source; by default topics are followed and files are not.",
    )

    read_batch: int = Field(
        8,
        ge=1,
        le=10_000,
        description="Maximum number of posts in a batch of the flow, one or a few model batches. Snapshots are taken between batches.",
    )

    sample: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Share of the posts to read, sampled by image (its CID, or else URL): all posts of an image or none.",
    )

    overload: Literal["lag", "sample"] = Field(
        "lag",
        description="What to do if posts arrive faster than they are processed: lag falls behind and reports the lag; sample drops posts (load shedding), chosen by image as with sample.",
    )

    max_lag_seconds: float = Field(
        60.0,
        ge=1,
        le=LONGEST_WAIT,
        description="With overload sample: maximum age of posts of a live stream, in seconds.",
    )

    requests_only: bool = Field(
        False, description="Do not read the source: process the pending requests of commands, and end."
    )

    def options_of(self, endpoint: Endpoint[Any]) -> SourceOptions:
        """Return how to read the posts of an endpoint."""
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
        description=f"Sink of cluster events: {EVENTS_TO.forms()}; stores get them in any case.",
    )

    state_dir: Path | None = Field(
        None,
        description="Folder for what a store keeps beside its tables, such as control/, if no sink is a folder; by default beside the recovery folder.",
    )

    _listed_to = field_validator("to", mode="before")(one_or_list)


class ResultCacheSettings(Group):
    """Cache of model results, for images and texts that repeat."""

    cache: Literal["exact", "near", "off"] = Field(
        "exact",
        description="exact: reuse the results of an earlier image or text with the same bytes; near: also those of an image of which this is a copy, such as a scaled or recompressed one, at a small risk of error; off: run the models on everything.",
    )

    cache_bytes: int = Field(
        2**30,
        ge=2**20,
        description="Maximum size of the cache on each machine, in bytes; the oldest entries are evicted first.",
    )

    cache_folder: Path | None = Field(
        None, description="Folder of the cache; by default cache/ in the store, or in state_dir if there is no store."
    )


class FetchSettings(AllowSettings):
    """How images are fetched, and which are refused."""

    fetch_folder: Path | None = Field(
        None, description="Relative and file: URLs must lie in this folder; by default the folder of the source."
    )

    fetch_concurrency: int = Field(
        16, ge=1, le=1024, description="Maximum number of images fetched concurrently by each process."
    )

    fetch_per_host: int = Field(
        8,
        ge=1,
        le=1024,
        description="Maximum number of them from one host, so that a slow host neither takes all of them nor is overloaded.",
    )

    fetch_ahead_posts: int = Field(
        64, ge=1, le=100_000, description="Maximum number of posts prefetched while the models are busy."
    )

    fetch_ahead_bytes: int = Field(
        256 * 2**20, ge=2**20, description="Maximum size of decoded images that wait for the models, in bytes."
    )

    fetch_max_bytes: int = Field(
        32 * 2**20,
        ge=1024,
        description="Maximum size of an image file in bytes, whatever its header says; larger ones are refused.",
    )

    fetch_timeout_seconds: float = Field(
        20.0,
        gt=0,
        le=600,
        description="Deadline of one image in seconds, from resolving its host to the last byte of the last try.",
    )

    fetch_connect_seconds: float = Field(
        5.0,
        gt=0,
        le=600,
        description="Timeout in seconds for resolving a host, and for connecting to it; a live host answers sooner.",
    )

    fetch_read_seconds: float = Field(10.0, gt=0, le=600, description="Maximum seconds between two bytes of an image.")

    fetch_tries: int = Field(
        3,
        ge=1,
        le=20,
        description="Maximum number of requests for one image, if they fail with what may pass: a busy server, a broken connection.",
    )

    retry_tries: int = Field(
        12,
        ge=0,
        le=100,
        description="Maximum number of later retries of an image that could not be fetched but may be available later, with exponential back-off: after 2 s, 4 s, 8 s and so on, at most an hour; 0: none.",
    )

    retry_wait_seconds: float = Field(
        10.0,
        ge=0,
        le=LONGEST_WAIT,
        description="Seconds that a run waits for such retries at the end of its sources; the next run does the rest.",
    )

    fetch_max_pixels: int = Field(
        64_000_000,
        ge=1,
        le=178_000_000,
        description="Maximum number of pixels of an image, checked before decoding; also the limit of all concurrent decoding.",
    )

    fetch_max_side: int = Field(
        2560,
        ge=32,
        description="Longer side in pixels to which larger images are scaled down: no model here needs more, and memory stays bounded.",
    )

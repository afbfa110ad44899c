"""Settings of sources, sinks, Kafka and fetching."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from core.settings import Group, split_at_commas


class SourceSettings(Group):
    """Where posts come from, and how they are dealt out."""

    source: str = Field(
        "",
        description="Where posts come from: a JSONL file, a folder of them or of pictures, kafka://HOST:PORT/TOPIC, reddit:NAME, imgur:NAME, tumblr:NAME.",
    )

    follow: bool | None = Field(
        None, description="Wait for more at the end of the source; by default topics are followed and files are not."
    )

    file_parts: int = Field(
        4,
        ge=1,
        le=64,
        description="Parts of one file that processes read side by side; fixed for the life of a recovery folder.",
    )

    file_block_bytes: int = Field(
        4096,
        ge=256,
        le=16 * 2**20,
        description="A file is dealt to its parts in blocks of this size: about a dozen posts.",
    )

    read_batch: int = Field(
        8,
        ge=1,
        le=10_000,
        description="Posts that go through the flow together, at most: a model batch or a few. Snapshots are between them.",
    )

    @property
    def is_followed(self) -> bool:
        """Whether the source is waited on at its end."""
        return self.source.startswith("kafka://") if self.follow is None else self.follow


class SinkSettings(Group):
    """Where records, dead letters and cluster events go."""

    to: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Sinks: a folder (the store), a .jsonl file, kafka://HOST:PORT/TOPIC."
    )

    dead_letters: str = Field(
        "",
        description="Sink of dead letters: a .jsonl file or kafka://HOST:PORT/TOPIC; by default beside the first sink.",
    )

    cluster_events: str = Field(
        "",
        description="Sink of what becomes of clusters: a .jsonl file or kafka://HOST:PORT/TOPIC; a store has them anyway.",
    )

    _split_to = field_validator("to", mode="before")(split_at_commas)

    @property
    def dead_letters_to(self) -> str:
        """Address of the sink of dead letters."""
        return self.dead_letters or str(self.beside("dead-letters.jsonl"))

    def beside(self, suffix: str) -> Path:
        """A path beside the first sink on this machine: `store` gives `store.<suffix>`."""
        local = [Path(address) for address in self.to if "://" not in address]
        name = (
            local[0].with_suffix("")
            if local and local[0].suffix == ".jsonl"
            else local[0]
            if local
            else Path("memewax")
        )
        return name.with_name(f"{name.name}.{suffix}")


class KafkaSettings(Group):
    """Every client of Kafka."""

    kafka: dict[str, str] = Field(
        default_factory=dict, description="librdkafka properties for every client, for instance security.protocol."
    )

    kafka_timeout_seconds: float = Field(
        30.0,
        gt=0,
        le=900,
        description="A broker that does not answer for so long ends the flow; it resumes from its snapshot.",
    )


class FetchSettings(Group):
    """How pictures are fetched, and what is refused."""

    fetch_folder: Path | None = Field(
        None, description="Relative and file: URLs must lie in this folder; by default the folder of the source."
    )

    fetch_concurrency: int = Field(16, ge=1, le=1024, description="Pictures fetched at the same time by each process.")

    fetch_per_host: int = Field(
        8, ge=1, le=1024, description="Of those, from one host: a slow one does not take them all, nor is it overrun."
    )

    fetch_allow: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="What posts may name besides the public web: networks (10.0.0.0/8), hosts (images.internal), and buckets to read with this machine's credentials (gs://pictures).",
    )

    fetch_ahead_posts: int = Field(
        64, ge=1, le=100_000, description="Posts fetched while the models are busy, at most."
    )

    fetch_ahead_bytes: int = Field(
        256 * 2**20, ge=2**20, description="Decoded pictures waiting for the models, at most."
    )

    fetch_max_bytes: int = Field(
        32 * 2**20, ge=1024, description="A larger picture file is refused, whatever its header says."
    )

    fetch_timeout_seconds: float = Field(
        20.0,
        gt=0,
        le=600,
        description="For one picture in all, from finding its host to the last byte of the last try.",
    )

    fetch_connect_seconds: float = Field(
        5.0, gt=0, le=600, description="To find a host, and to connect to it; one that is there answers sooner."
    )

    fetch_read_seconds: float = Field(10.0, gt=0, le=600, description="Between two bytes of a picture, at most.")

    fetch_tries: int = Field(
        3,
        ge=1,
        le=20,
        description="Requests for one picture where one fails that may succeed later: a busy server, a broken connection.",
    )

    fetch_max_pixels: int = Field(
        64_000_000,
        ge=1,
        le=178_000_000,
        description="A picture of more pixels is refused before it is decoded; nor are more decoded at the same time.",
    )

    fetch_max_side: int = Field(
        2560,
        ge=32,
        description="Larger pictures are scaled down to this: no model here looks closer, and memory stays bounded.",
    )

    _split_fetch_allow = field_validator("fetch_allow", mode="before")(split_at_commas)

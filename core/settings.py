"""Settings: one place, typed, from `MEMEWAX_*` variables and `memewax.toml`.

A variable wins over the file. Lists are comma-separated in a variable (`MEMEWAX_TO=./store,records.jsonl`) and arrays in
the file.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from core.errors import SettingsError

PREFIX = "MEMEWAX_"
FILE = Path("memewax.toml")
_LONGEST_WAIT = 30 * 86_400.0


class Settings(BaseSettings):
    """Everything that can be set; the text of a field is its reason."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, toml_file=FILE, extra="forbid", env_ignore_empty=True, frozen=True
    )

    source: str = Field(
        "",
        description="Where posts come from: a JSONL file, a folder of them or of pictures, kafka://HOST:PORT/TOPIC, reddit:NAME, imgur:NAME, tumblr:NAME.",
    )
    to: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Sinks: a folder (the store), a .jsonl file, kafka://HOST:PORT/TOPIC."
    )
    dead_letters: str = Field(
        "",
        description="Sink of dead letters: a .jsonl file or kafka://HOST:PORT/TOPIC; by default beside the first sink.",
    )
    follow: bool | None = Field(
        None, description="Wait for more at the end of the source; by default topics are followed and files are not."
    )
    processes: int = Field(1, ge=1, le=256, description="Processes on this machine; models share its cores among them.")

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

    kafka: dict[str, str] = Field(
        default_factory=dict, description="librdkafka properties for every client, for instance security.protocol."
    )
    kafka_timeout_seconds: float = Field(
        30.0,
        gt=0,
        le=900,
        description="A broker that does not answer for so long ends the flow; it resumes from its snapshot.",
    )

    reddit_client_id: SecretStr = Field(
        SecretStr(""),
        description="Of an application made at https://www.reddit.com/prefs/apps; needed for reddit:NAME.",
    )
    reddit_client_secret: SecretStr = Field(SecretStr(""), description="Of the same application.")
    reddit_user_agent: str = Field(
        "",
        max_length=256,
        description="Reddit wants to know who asks: 'linux:APPLICATION:v1.0 (by /u/NAME)'; empty: memewax and its version.",
    )
    reddit_url: str = Field(
        "https://oauth.reddit.com", pattern="^https?://.", description="Where Reddit's API is; another one for tests."
    )
    reddit_token_url: str = Field(
        "https://www.reddit.com/api/v1/access_token", pattern="^https?://.", description="Where Reddit gives tokens."
    )
    imgur_client_id: SecretStr = Field(
        SecretStr(""),
        description="Of an application made at https://api.imgur.com/oauth2/addclient; needed for imgur:NAME.",
    )
    imgur_url: str = Field("https://api.imgur.com/3", pattern="^https?://.", description="Where Imgur's API is.")
    tumblr_api_key: SecretStr = Field(
        SecretStr(""),
        description="The consumer key of an application made at https://www.tumblr.com/oauth/apps; needed for tumblr:NAME.",
    )
    tumblr_url: str = Field("https://api.tumblr.com/v2", pattern="^https?://.", description="Where Tumblr's API is.")

    poll_pages: int = Field(
        0,
        ge=0,
        le=10_000,
        description="Pages that the first round goes back whatever was seen (backfill); 0: as far as something is new.",
    )
    poll_most_pages: int = Field(
        50, ge=1, le=10_000, description="A round looks no further back than so many pages for what it has seen before."
    )
    poll_interval_seconds: float = Field(
        60.0, ge=1, le=86_400, description="Between two rounds of one listing, with --follow."
    )
    poll_timeout_seconds: float = Field(20.0, gt=0, le=600, description="For one request to a service.")
    poll_attempts: int = Field(
        6,
        ge=1,
        le=100,
        description="Requests in a row that may fail before a run ends; with --follow, none is the last.",
    )
    poll_backoff_seconds: float = Field(
        1.0, gt=0, le=60, description="Before a request is sent again; doubled each time, with a random part on top."
    )
    poll_patience_seconds: float = Field(
        900.0,
        ge=0,
        le=_LONGEST_WAIT,
        description="A run without --follow ends where a service asks to wait for longer.",
    )
    poll_seen: int = Field(
        5000, ge=200, le=1_000_000, description="Ids of posts that are remembered for each listing, in every snapshot."
    )

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

    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: cuda if there, else cpu.")
    threads: int = Field(0, ge=0, le=1024, description="Threads of a model on the CPU; 0: cores divided by processes.")
    models: Literal["real", "stand-in"] = Field(
        "real", description="stand-in: answers at once without looking, to measure the flow itself."
    )
    vit: str = Field("dinov2-small", description="Image model: dinov2-small, a folder, or a Hugging Face id.")
    vit_batch: int = Field(8, ge=1, le=1024, description="Pictures a pass; a CPU gains nothing from more, a GPU does.")
    ocr: Literal["ppocr", "easyocr", "ppocr+easyocr", "easyocr+ppocr"] = Field(
        "ppocr", description="What reads pictures; of two names the first finds the text and the second reads it."
    )
    ocr_weights: str = Field("", description="Folder with the weights of the OCR chosen; empty: look for them.")
    ocr_canvas: int = Field(
        960, ge=128, le=4096, description="Longest side that the text detector sees; its time grows with the square."
    )
    ner: str = Field(
        "en_core_web_sm",
        description="Finder of names: a spaCy pipeline (a package or a folder), or a transformers token classifier "
        "(a folder or a Hugging Face id), whose entities count from a score of 0.75.",
    )
    truecase: bool = Field(
        True, description="Show a text that is all capitals to the finder of names in ordinary case, which finds more."
    )
    sentiment: str = Field(
        "vader", description="Judge of tone: vader, or a transformers text classifier (a folder or a Hugging Face id)."
    )
    text_model: str = Field("all-MiniLM-L6-v2", description="Sentence model: a name, a folder, or a Hugging Face id.")
    text_engine: Literal["auto", "torch"] = Field(
        "auto", description="What runs it. auto: ONNX Runtime on a CPU, from a graph that is made once; else torch."
    )
    text_batch: int = Field(32, ge=1, le=4096, description="Texts a pass.")
    models_cache: Path | None = Field(None, description="Where unpacked weights are kept; by default the user's cache.")

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

    clusterer: Literal[
        "relevant",
        "dbstream",
        "river-clustream",
        "river-dbstream",
        "river-denstream",
        "river-kmeans",
        "river-streamkmeans",
    ] = Field(
        "relevant", description="How pictures are clustered; relevant measures best, river-… are to compare with."
    )
    clusterer_parameters: dict[str, int | float] = Field(
        default_factory=dict, description="Parameters of the clusterer, as JSON; its own defaults suit DINOv2."
    )

    cluster_shards: int = Field(
        1,
        ge=1,
        le=64,
        description="Clusterers that learn side by side, for more workers; fixed for the life of a recovery folder.",
    )
    cluster_events: str = Field(
        "",
        description="Sink of what becomes of clusters: a .jsonl file or kafka://HOST:PORT/TOPIC; a store has them anyway.",
    )

    join_deadline_seconds: float = Field(
        300.0,
        gt=0,
        le=_LONGEST_WAIT,
        description="So long after the flow took a post in it goes out without the sides that have not answered.",
    )
    join_late_seconds: float = Field(
        300.0, ge=0, le=_LONGEST_WAIT, description="For so long after its deadline a late side still updates a record."
    )

    store: Path = Field(Path("store"), description="Folder of corpora, in which nearest texts are looked for.")
    corpus: str = Field(
        "", description="Corpus that is searched where a query names none; empty: posts, or the only one that there is."
    )
    queries: str = Field("", description="Where queries come from: kafka://HOST:PORT/TOPIC or a JSONL file.")
    answers: str = Field(
        "", description="Where answers go beside the table in the store: kafka://HOST:PORT/TOPIC or a JSONL file."
    )
    query_batch: int = Field(
        32, ge=1, le=1024, description="Queries of one partition answered together, at most; a lone one never waits."
    )
    corpus_refresh_seconds: float = Field(
        1.0, ge=0, le=3600, description="How old what is searched may be: new rows of a corpus are found after so long."
    )
    answer_images: bool = Field(
        True, description="Load the image model too, to answer queries by image; without it they get an error answer."
    )
    queries_form: Literal["memewax", "first-version"] = Field(
        "memewax", description="first-version: bodies and results as in the first version, {sentence_to_encode}."
    )
    sentence_embeddings: str = Field(
        "",
        description="kafka://HOST:PORT/TOPIC for each sentence with its vector, as the first version passed them on.",
    )

    taps: str = Field(
        "",
        description="kafka://HOST:PORT where the streams inside the flow go to the first version's eleven topics too; empty: nowhere.",
    )
    taps_only: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Of those topics the ones that are written, for instance vit2cluster; empty: all."
    )

    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")

    @field_validator("to", "fetch_allow", "taps_only", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        parts = [value] if isinstance(value, str) else value
        if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
            return value
        return tuple(address.strip() for part in parts for address in part.split(",") if address.strip())

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then variables, then the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @property
    def is_followed(self) -> bool:
        """Whether the source is waited on at its end."""
        return self.source.startswith("kafka://") if self.follow is None else self.follow

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

    @property
    def threads_per_model(self) -> int:
        """Threads each model uses on the CPU."""
        return self.threads or max(1, (os.cpu_count() or 1) // self.processes)


def load_settings(**overrides: Any) -> Settings:
    """Settings from overrides, variables and file; raises `SettingsError` naming each bad variable and its value."""
    unknown = sorted(
        name
        for name in os.environ
        if name.startswith(PREFIX) and name.removeprefix(PREFIX).lower() not in Settings.model_fields
    )
    if unknown:
        raise SettingsError(f"unknown setting {', '.join(unknown)}; `memewax settings` lists those that exist")
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise SettingsError("; ".join(_describe(dict(problem)) for problem in error.errors())) from None
    except ValueError as error:  # the file is not TOML, or a variable is not JSON where JSON is needed
        raise SettingsError(f"settings cannot be read, of {FILE} or a variable: {error}") from None
    except OSError as error:
        raise SettingsError(f"{FILE}: {error.strerror}") from None


def is_secret(name: str) -> bool:
    """Whether a setting may hold a password or a key, which is never shown."""
    field = Settings.model_fields.get(name)
    return name == "kafka" or (field is not None and field.annotation is SecretStr)


def _describe(problem: dict[str, Any]) -> str:
    name = str(problem["loc"][0]) if problem["loc"] else "?"
    if problem.get("type") == "extra_forbidden":
        return f"unknown setting {name} in {FILE}; `memewax settings` lists those that exist"
    where = f"{PREFIX}{name.upper()} (or {name} in {FILE})"
    value = str(problem.get("input"))
    shown = "(hidden)" if is_secret(name) else repr(value[:80])
    return f"{where} = {shown}: {problem['msg']}"

"""Kafka endpoints: a topic as source or sink, and a cluster as sink of several topics."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, Self

from pydantic import Field

from connectors.column_settings import ColumnSettings
from connectors.endpoint import Endpoint, SinkOptions, SourceOptions
from connectors.sinks.sink import MessageSink
from connectors.sources.column_mapping import chosen_columns, mapping_as_said
from connectors.sources.mapped_place import MappedSource
from connectors.sources.row_shapes import Mapped
from connectors.sources.source import PlacedSource
from core.errors import SettingsError

if TYPE_CHECKING:
    from connectors.kafka.kafka_sink import KafkaSink

_SCHEME: Final = "kafka://"
_PROMPT: Final = {"linger.ms": "0", "socket.nagle.disable": "true"}
"""Properties for low latency; messages that arrive during a request still form a batch."""


class KafkaSettings(ColumnSettings):
    """Settings of all Kafka clients."""

    kafka: dict[str, str] = Field(
        default_factory=dict, description="librdkafka properties for every client, for instance security.protocol."
    )

    kafka_group: str = Field(
        "memewax",
        max_length=249,
        description="Consumer group to commit offsets to after each epoch, so that Kafka's tools show the lag; flows "
        "do not resume from it. Empty: none. group.id in MEMEWAX_KAFKA takes precedence.",
    )

    kafka_timeout_seconds: float = Field(
        30.0,
        gt=0,
        le=900,
        description="A flow ends if a broker does not respond for this many seconds; it resumes from its snapshot.",
    )


class KafkaEndpoint(Endpoint[KafkaSettings]):
    """A Kafka topic."""

    reads = takes_messages = "kafka://HOST:PORT/TOPIC"
    is_followed = True

    topic: str

    def __init__(self, address: str, brokers: str, topic: str) -> None:
        super().__init__(address)
        self.brokers = brokers
        self.topic = topic

    @classmethod
    def of(cls, address: str) -> Self | None:
        """Parse brokers, separated by commas, and topic; raises `SettingsError` if one is missing."""
        if not address.startswith("kafka:"):
            return None
        brokers, _, topic = address.removeprefix(_SCHEME).partition("/")
        if not address.startswith(_SCHEME) or not brokers or not topic or "/" in topic:
            raise SettingsError(f"{address!r} is not {cls.reads}")
        return cls(address, brokers, topic)

    def source(self, options: SourceOptions, settings: KafkaSettings) -> PlacedSource:
        """Make a source of the topic's messages; raises `SettingsError` if the `columns` setting is invalid."""
        from connectors.kafka.kafka_source import KafkaTopic

        topic = KafkaTopic(
            self.brokers,
            self.topic,
            follow=options.follow,
            batch=options.batch,
            config=_config(settings, prompt=options.prompt),
            timeout=settings.kafka_timeout_seconds,
            group=settings.kafka_group,
        )
        chosen = chosen_columns(settings.columns) if options.are_posts else ()
        return MappedSource(topic, Mapped(mapping_as_said(chosen))) if chosen else topic

    def message_sink(self, options: SinkOptions, settings: KafkaSettings) -> MessageSink:
        """Make a sink for messages to the topic."""
        from connectors.kafka.kafka_sink import KafkaSink

        return KafkaSink(
            self.brokers,
            self.topic,
            config=_config(settings, prompt=options.prompt),
            timeout=settings.kafka_timeout_seconds,
            oversize=options.oversize,
        )


def cluster_sink(address: str, topics: Sequence[str], settings: KafkaSettings) -> "KafkaSink":
    """Make a sink of several topics at `kafka://HOST:PORT[,…]`; raises `SettingsError` for other addresses."""
    brokers = address.removeprefix(_SCHEME).removesuffix("/")
    if not address.startswith(_SCHEME) or not brokers or "/" in brokers:
        raise SettingsError(f"{address!r} is not kafka://HOST:PORT")
    from connectors.kafka.kafka_sink import KafkaSink

    return KafkaSink(brokers, *topics, config=settings.kafka, timeout=settings.kafka_timeout_seconds)


def _config(settings: KafkaSettings, *, prompt: bool) -> Mapping[str, str]:
    return {**_PROMPT, **settings.kafka} if prompt else settings.kafka

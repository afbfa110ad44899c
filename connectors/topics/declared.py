"""Declarations of the Kafka topics of memewax, from which they are created, checked, described and documented.

The number of partitions limits how many processes can read a topic in parallel, and changing it moves keys between
partitions, so it is generous from the start. Version 1 had eleven topics between its jobs. memewax does not need them,
and writes them as taps only if settings name them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final, Literal

from core.errors import SettingsError

KEY: Final = "global_id"
"""Default key of messages: it keeps all messages of a post in order, in one partition."""

REPLICATION: Final = 3
"""Default replication factor: one broker may fail while another is down for maintenance."""

TopicRole = Literal["in", "out", "tap"]


@dataclass(frozen=True, slots=True)
class Topic:
    """Declaration of a topic."""

    name: str
    what: str
    """Description of its messages."""
    body: str
    """Name of the JSON Schema of a message's value."""
    role: TopicRole
    """Whether memewax reads it, writes it, or writes it only for other readers."""
    partitions: int
    retention: timedelta
    replication: int = REPLICATION
    compacted: bool = False
    """Whether only the last message of each key matters, so that Kafka may delete earlier ones (log compaction)."""
    key: str = KEY
    is_used: bool = True
    """Whether a flow uses it by default."""

    @property
    def config(self) -> dict[str, str]:
        """Return the topic's configuration by Kafka property."""
        return {
            "cleanup.policy": "compact,delete" if self.compacted else "delete",
            "min.insync.replicas": str(max(1, self.replication - 1)),
            "retention.ms": str(self.retention // timedelta(milliseconds=1)),
        }


_DAY: Final = timedelta(days=1)
_WIDE: Final = 8
_NARROW: Final = 4

FLOW: Final = (
    Topic("posts", "Posts to analyse", "post", "in", _WIDE, 7 * _DAY),
    Topic(
        "analytics",
        "Joined records; the last one of an id is current",
        "record",
        "out",
        _WIDE,
        30 * _DAY,
        compacted=True,
    ),
    Topic(
        "clusters",
        "Cluster events: births, merges, splits, retirements, revivals",
        "cluster-event",
        "out",
        1,
        30 * _DAY,
        compacted=True,
        key="cluster",
    ),
    Topic(
        "dead-letters",
        "Messages that could not be processed, unchanged; the headers give the reason",
        "dead-letter",
        "out",
        1,
        30 * _DAY,
        key="the key of the original message",
    ),
)
"""Topics of `dataflows.memes`."""


def _tap(name: str, what: str, body: str) -> Topic:
    return Topic(name, what, body, "tap", _NARROW, _DAY, is_used=False)


TAPS: Final = (
    _tap("nifi2vit", "Posts to embed", "tapped-post"),
    _tap("nifi2ocr", "Posts to read by OCR", "tapped-post"),
    _tap("nifi2analytics", "Posts to join", "tapped-post"),
    _tap("vit2cluster", "Embeddings to cluster", "embeddings"),
    _tap("vit2analytics", "Embeddings to join", "embeddings"),
    _tap("cluster2analytics", "Clusters to join", "cluster"),
    _tap("ocr2ner", "Texts for named-entity recognition", "text"),
    _tap("ocr2sentiment", "Texts for sentiment analysis", "text"),
    _tap("ocr2analytics", "Texts to join", "text"),
    _tap("ner2analytics", "Entities to join", "entities"),
    _tap("sentiment2analytics", "Sentiments to join", "sentiments"),
)
"""Topics between the jobs of version 1."""

_QUERY_KEY: Final = "the query's id"

ANSWERING: Final = (
    Topic("queries", "Search queries", "query", "in", _NARROW, _DAY, key=_QUERY_KEY),
    Topic("answers", "Answers to search queries", "answer", "out", _NARROW, _DAY, key=_QUERY_KEY),
    Topic(
        "sentence_to_kafka_1",
        "Search queries in the format of version 1",
        "sentence",
        "in",
        _NARROW,
        _DAY,
        key=_QUERY_KEY,
        is_used=False,
    ),
    Topic(
        "kafka_1_to_kafka_2",
        "Search queries with their embeddings",
        "sentence-embedding",
        "tap",
        _NARROW,
        _DAY,
        key=_QUERY_KEY,
        is_used=False,
    ),
)
"""Topics of `dataflows.similarity`; the last two only if its settings name them."""

TOPICS: Final = (*FLOW, *ANSWERING, *TAPS)
"""All topics."""

NAMES: Final = tuple(topic.name for topic in TOPICS)


def chosen(names: Sequence[str] = (), partitions: int | None = None, replication: int | None = None) -> list[Topic]:
    """Return the named topics, or by default those that flows use; raises `SettingsError` for an unknown name.

    Args:
        names: Names of topics; empty for those that flows use.
        partitions: Number of partitions, instead of the declared one.
        replication: Replication factor, instead of the declared one.
    """
    unknown = sorted(set(names) - set(NAMES))
    if unknown:
        raise SettingsError(f"unknown topic {', '.join(unknown)}: expected one of {', '.join(NAMES)}")
    return [
        replace(topic, partitions=partitions or topic.partitions, replication=replication or topic.replication)
        for topic in TOPICS
        if (topic.name in names if names else topic.is_used)
    ]

"""The topics of memewax: one list, from which they are made, checked, described and published.

Partitions bound how many processes read a topic side by side, and cannot be changed without moving keys from one
partition to another: so they are generous from the start. The first version had eleven topics between its jobs; memewax
needs none of them, and writes them as taps where that is asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final, Literal

from core.errors import SettingsError

KEY: Final = "global_id"
"""What messages are keyed by, where nothing else is said: all of one post stay in order, in one partition."""

REPLICATION: Final = 3
"""Copies of each partition, where the cluster has so many brokers: one may be lost while another is being served."""

TopicRole = Literal["in", "out", "tap"]


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it should be."""

    name: str
    what: str
    """What its messages are, for people."""
    body: str
    """Name of the JSON Schema of a message's value."""
    role: TopicRole
    """Whether memewax reads it, writes it, or writes it only for readers from elsewhere."""
    partitions: int
    retention: timedelta
    replication: int = REPLICATION
    compacted: bool = False
    """Whether the last message of each key is what counts, and earlier ones may go before their time."""
    key: str = KEY
    is_used: bool = True
    """Whether a flow uses it where its settings do not name it."""

    @property
    def config(self) -> dict[str, str]:
        """The topic's own properties, as Kafka names them."""
        return {
            "cleanup.policy": "compact,delete" if self.compacted else "delete",
            "min.insync.replicas": str(max(1, self.replication - 1)),
            "retention.ms": str(self.retention // timedelta(milliseconds=1)),
        }


_DAY: Final = timedelta(days=1)
_WIDE: Final = 8
_NARROW: Final = 4

FLOW: Final = (
    Topic("posts", "Posts to be looked at", "post", "in", _WIDE, 7 * _DAY),
    Topic("analytics", "Joined records; the last of an id counts", "record", "out", _WIDE, 30 * _DAY, compacted=True),
    Topic(
        "clusters",
        "What becomes of clusters: births, merges, splits, retirements, returns",
        "cluster-event",
        "out",
        1,
        30 * _DAY,
        compacted=True,
        key="cluster",
    ),
    Topic(
        "dead-letters",
        "Messages that could not be used, as they were read; the headers say why",
        "dead-letter",
        "out",
        1,
        30 * _DAY,
        key="the key that the message had",
    ),
)
"""What `dataflows.memes` reads and writes."""


def _tap(name: str, what: str, body: str) -> Topic:
    return Topic(name, what, body, "tap", _NARROW, _DAY, is_used=False)


TAPS: Final = (
    _tap("nifi2vit", "Posts, to be embedded", "tapped-post"),
    _tap("nifi2ocr", "Posts, to be read", "tapped-post"),
    _tap("nifi2analytics", "Posts, to be joined", "tapped-post"),
    _tap("vit2cluster", "Embeddings, to be clustered", "embeddings"),
    _tap("vit2analytics", "Embeddings, to be joined", "embeddings"),
    _tap("cluster2analytics", "Clusters, to be joined", "cluster"),
    _tap("ocr2ner", "Texts, to find entities in", "text"),
    _tap("ocr2sentiment", "Texts, to be scored", "text"),
    _tap("ocr2analytics", "Texts, to be joined", "text"),
    _tap("ner2analytics", "Entities, to be joined", "entities"),
    _tap("sentiment2analytics", "Sentiments, to be joined", "sentiments"),
)
"""The topics between the jobs of the first version."""

_QUERY_KEY: Final = "the query's id"

ANSWERING: Final = (
    Topic("queries", "Questions, to be answered", "query", "in", _NARROW, _DAY, key=_QUERY_KEY),
    Topic("answers", "Their answers", "answer", "out", _NARROW, _DAY, key=_QUERY_KEY),
    Topic(
        "sentence_to_kafka_1",
        "Questions, in the first version's form",
        "sentence",
        "in",
        _NARROW,
        _DAY,
        key=_QUERY_KEY,
        is_used=False,
    ),
    Topic(
        "kafka_1_to_kafka_2",
        "Questions with their vectors",
        "sentence-embedding",
        "tap",
        _NARROW,
        _DAY,
        key=_QUERY_KEY,
        is_used=False,
    ),
)
"""What `dataflows.similarity` reads and writes; the last two only where its settings name them."""

TOPICS: Final = (*FLOW, *ANSWERING, *TAPS)
"""All of them."""

NAMES: Final = tuple(topic.name for topic in TOPICS)


def chosen(names: Sequence[str] = (), partitions: int | None = None, replication: int | None = None) -> list[Topic]:
    """The topics of these names, or those that the flows use; raises `SettingsError` where one is not in the list.

    Args:
        names: Which; empty: those that the flows use.
        partitions: Of each, in place of what is declared.
        replication: Of each, in place of what is declared.
    """
    unknown = sorted(set(names) - set(NAMES))
    if unknown:
        raise SettingsError(f"no topic of memewax is called {', '.join(unknown)}: there are {', '.join(NAMES)}")
    return [
        replace(topic, partitions=partitions or topic.partitions, replication=replication or topic.replication)
        for topic in TOPICS
        if (topic.name in names if names else topic.is_used)
    ]

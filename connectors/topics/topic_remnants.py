"""Remnants of deleted posts in Kafka topics: how long topics keep them, and a search in topics of dead letters."""

from collections.abc import Collection, Iterator
from datetime import timedelta
from itertools import islice
from typing import Any, Final

from connectors.chosen_endpoints import ReadSettings
from connectors.kafka.kafka_endpoint import KafkaEndpoint
from connectors.remnants import LookedFor, Remnant
from connectors.stored_dead_letters import read_dead_letters
from core.endings import plural
from core.errors import WorldError

_MOST_DEAD_LETTERS: Final = 100_000
"""Maximum dead letters to search."""
_SECONDS: Final = 5.0
"""Timeout of a broker."""


def kept_in_topics(endpoints: Collection[Any], settings: ReadSettings) -> Iterator[Remnant]:
    """Yield how long each topic among the endpoints keeps deleted posts; the topics are not searched."""
    for it in endpoints:
        if isinstance(it, KafkaEndpoint):
            yield Remnant(it.address, "past messages are not searched", _until(it, settings))


def kept_in_taps(addresses: Collection[str], settings: ReadSettings) -> Iterator[Remnant]:
    """Yield how long the topics of taps keep deleted posts; they get no tombstones."""
    for address in addresses:
        found = KafkaEndpoint.of(address)
        if found is not None:
            yield Remnant(address, "a tap: it is not searched, and gets no tombstones", _until(found, settings))


def in_dead_letters(endpoint: Any, names: LookedFor, settings: ReadSettings) -> Iterator[Remnant]:
    """Search the first 100,000 dead letters of a topic; a broker that does not answer is reported as a remnant."""
    if not isinstance(endpoint, KafkaEndpoint):
        return
    until = _until(endpoint, settings)
    try:
        dead_letters = islice(read_dead_letters(endpoint.address, settings), _MOST_DEAD_LETTERS)
        found = sum(names.in_value((it.global_id, it.message)) for it in dead_letters)
    except WorldError as error:
        yield Remnant(endpoint.address, f"it cannot be searched: {error}", until)
        return
    if found:
        yield Remnant(endpoint.address, f"{plural(found, 'dead letter')} with it", until)


def until_of(config: dict[str, str | None]) -> str:
    """Return when a topic with these Kafka properties drops deleted messages."""
    policies = set((config.get("cleanup.policy") or "delete").replace(" ", "").split(","))
    conditions = []
    if "compact" in policies:
        conditions.append("the next compaction after a tombstone or a later message of the same key")
    if "delete" in policies:
        kept = int(config.get("retention.ms") or -1)
        bytes_ = int(config.get("retention.bytes") or -1)
        conditions += (
            [f"{timedelta(milliseconds=kept)} (retention.ms) have passed since it was written"] if kept >= 0 else []
        )
        conditions += [f"{bytes_:,} newer bytes were written (retention.bytes)"] if bytes_ >= 0 else []
    return f"until {', or '.join(conditions)}" if conditions else "as long as the topic exists"


def _until(endpoint: KafkaEndpoint, settings: ReadSettings) -> str:
    from connectors.topics.admin import TopicCluster

    timeout = min(settings.kafka_timeout_seconds, _SECONDS)
    try:
        found = TopicCluster(endpoint.brokers, settings.kafka, timeout).states([endpoint.topic])
    except WorldError as error:
        return f"until its retention ends, which is unknown: {error}"
    if endpoint.topic not in found:
        return "the topic does not exist"
    return until_of(dict(found[endpoint.topic].config))

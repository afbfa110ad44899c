"""How long topics keep what was deleted, and whether a topic of dead letters holds it."""

from collections.abc import Collection, Iterator
from datetime import timedelta
from itertools import islice
from typing import Any, Final

from connectors.chosen_endpoints import ReadSettings
from connectors.kafka.kafka_endpoint import KafkaEndpoint
from connectors.remnants import LookedFor, Remnant
from connectors.stored_dead_letters import read_dead_letters
from core.errors import WorldError

_MOST_LETTERS: Final = 100_000
"""That are looked at."""
_SECONDS: Final = 5.0
"""A broker that does not answer for so long is not asked again."""


def kept_in_topics(endpoints: Collection[Any], settings: ReadSettings) -> Iterator[Remnant]:
    """Say of each topic among endpoints how long it keeps what is deleted: none of them is looked through."""
    for it in endpoints:
        if isinstance(it, KafkaEndpoint):
            yield Remnant(it.address, "messages of the past are not looked through", _until(it, settings))


def kept_in_taps(addresses: Collection[str], settings: ReadSettings) -> Iterator[Remnant]:
    """Say the same of topics that taps write, by their addresses; no tombstone comes to them."""
    for address in addresses:
        found = KafkaEndpoint.of(address)
        if found is not None:
            yield Remnant(address, "a tap: it is not looked through, and gets no tombstones", _until(found, settings))


def in_dead_letters(endpoint: Any, names: LookedFor, settings: ReadSettings) -> Iterator[Remnant]:
    """Look through the first 100,000 dead letters of a topic; a broker that does not answer is said."""
    if not isinstance(endpoint, KafkaEndpoint):
        return
    until = _until(endpoint, settings)
    try:
        dead_letters = islice(read_dead_letters(endpoint.address, settings), _MOST_LETTERS)
        found = sum(names.in_value((it.global_id, it.message)) for it in dead_letters)
    except WorldError as error:
        yield Remnant(endpoint.address, f"it cannot be looked through: {error}", until)
        return
    if found:
        yield Remnant(endpoint.address, f"{found} letters have it", until)


def until_of(config: dict[str, str | None]) -> str:
    """When a topic of these properties of Kafka's lets go of what is deleted."""
    policies = set((config.get("cleanup.policy") or "delete").replace(" ", "").split(","))
    told = []
    if "compact" in policies:
        told.append("the next compaction after a tombstone or a later message of the same key")
    if "delete" in policies:
        kept = int(config.get("retention.ms") or -1)
        bytes_ = int(config.get("retention.bytes") or -1)
        told += [f"{timedelta(milliseconds=kept)} (retention.ms) have passed since it was written"] if kept >= 0 else []
        told += [f"{bytes_:,} newer bytes are there (retention.bytes)"] if bytes_ >= 0 else []
    return f"until {', or '.join(told)}" if told else "as long as the topic is kept"


def _until(endpoint: KafkaEndpoint, settings: ReadSettings) -> str:
    from connectors.topics.admin import TopicCluster

    timeout = min(settings.kafka_timeout_seconds, _SECONDS)
    try:
        found = TopicCluster(endpoint.brokers, settings.kafka, timeout).states([endpoint.topic])
    except WorldError as error:
        return f"by its retention, which the broker does not tell: {error}"
    if endpoint.topic not in found:
        return "it is not there"
    return until_of(dict(found[endpoint.topic].config))

"""Queries over Kafka: send a query to one topic and pick its answer from another by id."""

import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from connectors.kafka.kafka_client import (
    TRANSIENT,
    Health,
    bad_config,
    base_config,
    call_with_retries,
    close_consumer,
    world_error,
)
from core.errors import WorldError
from core.traces import TRACES

_POLL_SECONDS: Final = 0.1
_AT_ONCE: Final = 256
_LOOK_SECONDS: Final = 10.0


class QueryClient:
    """Client of `memewax serve`; sees all answers sent since its construction."""

    def __init__(
        self, brokers: str, queries: str, answers: str, config: Mapping[str, str], timeout: float = _LOOK_SECONDS
    ) -> None:
        """Find both topics on the brokers; raises `WorldError` if one is missing or no broker answers.

        Args:
            brokers: `HOST:PORT`, more after commas.
            queries: Topic of queries.
            answers: Topic of answers.
            config: librdkafka properties.
            timeout: Seconds for looking up the topics on the brokers.
        """
        health = Health(brokers)
        own = {**base_config(brokers, {"socket.nagle.disable": "true", **config}, timeout), "error_cb": health}
        self._brokers, self._queries, self._timeout = brokers, queries, timeout
        try:
            self._producer = Producer({**own, "linger.ms": 0, "acks": "all"})
            self._consumer = Consumer({**own, "group.id": "memewax-ask", "enable.auto.commit": False})
        except KafkaException as exception:
            raise bad_config(exception) from exception

        def ends(left: float) -> list[TopicPartition]:
            self._partitions(queries, left)
            return [self._end(answers, partition, left) for partition in self._partitions(answers, left)]

        doing = f"looking up topics {queries} and {answers}"
        try:
            self._consumer.assign(call_with_retries(self._consumer, health, doing, ends, timeout))
        except BaseException:
            close_consumer(self._consumer, timeout)
            raise

    def close(self) -> None:
        """Close the connections."""
        close_consumer(self._consumer, self._timeout)

    def send(self, body: Mapping[str, Any]) -> None:
        """Send a query; `body` must have an `id`."""
        id_ = str(body["id"])
        headers = TRACES.sent("query", id_, "")
        self._producer.produce(self._queries, orjson.dumps(body), id_.encode(), headers=list(headers))
        self._producer.poll(0)

    def arrived(self, seconds: float) -> Iterator[dict[str, Any]]:
        """Yield answers that have arrived, to any client; waits up to `seconds` for the first one."""
        received = self._consumer.consume(1, seconds)
        if received:
            received += self._consumer.consume(_AT_ONCE, 0)
        for message in received:
            if (error := message.error()) is None:
                yield orjson.loads(message.value() or b"{}")
            elif error.code() not in TRANSIENT:
                raise world_error("reading answers", self._brokers, error)

    def ask(self, body: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """Send a query and return its answer; raises `WorldError` if none arrives within `seconds`."""
        deadline = time.monotonic() + seconds
        self.send(body)
        while (left := deadline - time.monotonic()) > 0:
            for answer in self.arrived(min(left, _POLL_SECONDS)):
                if answer.get("id") == body["id"]:
                    return answer
        raise WorldError(
            f"no answer within {seconds:g} s: is `memewax serve --from kafka://{self._brokers}/{self._queries}` up? "
            "If so, wait longer with --timeout"
        )

    def _partitions(self, topic: str, timeout: float) -> list[int]:
        found = self._consumer.list_topics(topic, timeout=timeout).topics[topic]
        if found.error is not None:
            raise KafkaException(found.error)
        return sorted(found.partitions)

    def _end(self, topic: str, partition: int, timeout: float) -> TopicPartition:
        place = TopicPartition(topic, partition)
        place.offset = self._consumer.get_watermark_offsets(place, timeout=timeout)[1]
        return place

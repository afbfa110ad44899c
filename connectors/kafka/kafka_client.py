"""Common parts of Kafka clients: default properties, retries while a broker is down, and errors with advice."""

# ruff: noqa: SLF001 - the underscore marks librdkafka's own error codes, not private ones

import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from connectors.deadlines import call_with_timeout
from core.activity import ACTIVITY
from core.errors import SettingsError, WorldError
from core.telemetry import log

T = TypeVar("T")

END_OF_PARTITION: Final = KafkaError._PARTITION_EOF
OFFSET_LOST: Final = KafkaError._AUTO_OFFSET_RESET
UNDELIVERED: Final = KafkaError._MSG_TIMED_OUT

TRANSIENT: Final = frozenset({
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._RESOLVE,
    KafkaError._SSL,  # also raised if a broker goes down during the handshake
    KafkaError._TIMED_OUT,
    KafkaError._TIMED_OUT_QUEUE,
    KafkaError._TRANSPORT,
    KafkaError._UNKNOWN_PARTITION,  # also raised if a partition's leader is unreachable
    KafkaError._WAIT_CACHE,
    KafkaError._WAIT_COORD,
    KafkaError.BROKER_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.KAFKA_STORAGE_ERROR,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NETWORK_EXCEPTION,
    KafkaError.NOT_COORDINATOR,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.OFFSET_NOT_AVAILABLE,
    KafkaError.REPLICA_NOT_AVAILABLE,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.UNKNOWN_LEADER_EPOCH,
})  # fmt: skip
"""Errors that pass when the broker is back; librdkafka retries by itself."""

_DENIED: Final = frozenset({
    KafkaError._AUTHENTICATION,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
})  # fmt: skip
_UNKNOWN: Final = frozenset({KafkaError._UNKNOWN_TOPIC, KafkaError.UNKNOWN_TOPIC_OR_PART})
_SLICE_SECONDS: Final = 5.0


def base_config(brokers: str, config: Mapping[str, str], timeout: float) -> dict[str, Any]:
    """Return the properties of a client: our defaults, overridden by the user's, with the given brokers."""
    return {
        # Without this, librdkafka prints each failed connection attempt; `Health` logs the first.
        "log_level": 2,
        # Reconnect to a restarted broker at once; the default takes up to 10 s.
        "reconnect.backoff.max.ms": 1000,
        # Wait for a silent broker with an open connection no longer than for one that is down.
        "socket.timeout.ms": min(60_000, max(2_000, round(timeout * 1000))),
        **config,
        "bootstrap.servers": brokers,
    }


def close_consumer(consumer: Consumer, timeout: float) -> None:
    """Close a consumer; abandon it if no broker responds within `timeout` seconds.

    librdkafka waits for commits in flight, and sometimes never returns if the broker went down meanwhile.
    """
    try:
        call_with_timeout(timeout, consumer.close)
    except TimeoutError:
        log.warning("no broker accepts the last commits: the consumer's connections are abandoned")


def bad_config(exception: KafkaException) -> SettingsError:
    """Return the error to raise if librdkafka rejects its properties."""
    return SettingsError(f"MEMEWAX_KAFKA: {exception.args[0].str()}; correct or remove the property")


def world_error(doing: str, brokers: str, error: KafkaError) -> WorldError:
    """Return the error to raise when `doing` failed with `error`, with advice on what to do."""
    code = error.code()
    advice = "see the broker's log"
    if code in _DENIED:
        advice = "check the credentials and protocol in MEMEWAX_KAFKA and the topic's ACLs"
    elif code in _UNKNOWN:
        advice = "create the topic, or correct its name; `memewax topics create` makes those of memewax"
    elif code == KafkaError.MSG_SIZE_TOO_LARGE:
        advice = "raise the topic's max.message.bytes, or lower message.max.bytes in MEMEWAX_KAFKA to what it takes"
    elif code in TRANSIENT or code == UNDELIVERED:
        advice = "start the broker or correct the address; MEMEWAX_KAFKA_TIMEOUT_SECONDS is how long to wait for it"
    return WorldError(f"{doing} at {brokers} failed: {error.str()} ({error.name()}); {advice}")


class Health:
    """Tracks a client's fatal errors, and since when the broker has been down.

    Pass it to a client as `error_cb`; the client calls it while it is polled.
    """

    def __init__(self, brokers: str) -> None:
        self.brokers = brokers
        self.fatal: KafkaError | None = None
        self.away_since: float | None = None
        """Time on the monotonic clock; None while the broker is up."""
        self.away_error: KafkaError | None = None

    def __call__(self, error: KafkaError) -> None:
        """Record an error of the client."""
        if error.fatal() or error.code() in _DENIED:
            self.fatal = self.fatal or error
        elif self.away_since is None:
            self.away_since, self.away_error = time.monotonic(), error
            ACTIVITY.unavailable(self, f"kafka broker {self.brokers} ({error.str()})")
            log.warning("kafka broker away", brokers=self.brokers, error=error.str())

    def answered(self) -> None:
        """Record that the broker has responded."""
        if self.away_since is not None:
            self.away_since = self.away_error = None
            ACTIVITY.available(self)
            log.info("kafka broker back", brokers=self.brokers)

    def check(self, doing: str) -> None:
        """Raise `WorldError` if there was a fatal error."""
        if self.fatal is not None:
            raise world_error(doing, self.brokers, self.fatal)


def call_with_retries(
    client: Consumer | Producer | AdminClient, health: Health, doing: str, call: Callable[[float], T], timeout: float
) -> T:
    """Call the broker and retry while it is down, up to `timeout` seconds; then raise `WorldError`.

    `call` gets its timeout in seconds. A consumer must not have an assignment yet, since it is polled for errors.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            answer = call(max(0.1, min(_SLICE_SECONDS, deadline - time.monotonic())))
        except KafkaException as exception:
            client.poll(0)  # the only way to get the cause, such as rejected credentials
            health.check(doing)
            error: KafkaError = exception.args[0]
            if error.code() not in TRANSIENT:
                raise world_error(doing, health.brokers, error) from exception
            health(error)
            if time.monotonic() >= deadline:
                raise world_error(doing, health.brokers, health.away_error or error) from exception
            time.sleep(0.1)
        else:
            health.answered()
            return answer

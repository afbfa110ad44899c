"""Brokers for tests: librdkafka's mock cluster always, Apache Kafka itself where `../shared/kafka` and Java are there."""

import contextlib
import os
import random
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tests.folders import SHARED

START = SHARED / "kafka" / "start"
"""Apache Kafka for tests, beside the repository; not part of it."""

_SOON_BACK = ("broker.session.timeout.ms=3000", "broker.heartbeat.interval.ms=500")
"""A broker that was killed is let in again when its session has ended; that takes 9 s where nobody says otherwise."""

_SOON_THERE = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""For a short life: half of what a start costs is Java's compiling for a long one."""

Headers = tuple[tuple[str, bytes | None], ...]


class Broker(Protocol):
    """What tests see of a broker."""

    bootstrap: str


@dataclass(frozen=True, slots=True)
class Stored:
    """A message as a topic holds it."""

    key: bytes | None
    value: bytes | None
    headers: Headers
    partition: int
    offset: int


class MockBroker:
    """librdkafka's own mock cluster, in this process; its topics have 4 partitions of at most 5 MB."""

    def __init__(self) -> None:
        # The cluster lives as long as this producer.
        self._cluster: Producer | None = Producer({"test.mock.num.brokers": 1, "log_level": 0})
        metadata = self._cluster.list_topics(timeout=10)
        self.bootstrap = ",".join(f"{broker.host}:{broker.port}" for broker in metadata.brokers.values())

    def stop(self) -> None:
        """End it, with all that it holds."""
        self._cluster = None


class RealBroker:
    """Apache Kafka as a process, on one port and folder for its whole life: it may be killed and started again."""

    def __init__(self, folder: Path, *properties: str) -> None:
        self._folder = folder
        self._properties = (*_SOON_BACK, *properties)
        self._port = free_ports()
        self._process: subprocess.Popen[bytes] | None = None
        self.bootstrap = f"127.0.0.1:{self._port}"

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def start(self, seconds: float = 90) -> None:
        """Start it where it does not run, and wait until it answers."""
        if not self.running:
            self._folder.mkdir(parents=True, exist_ok=True)
            with (self._folder / "output.log").open("ab") as output:
                command = [str(START), str(self._port), str(self._folder), *self._properties]
                environment = {"JDK_JAVA_OPTIONS": _SOON_THERE, **os.environ}
                self._process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        deadline = time.monotonic() + seconds
        while True:
            assert self.running, f"Kafka did not start: {(self._folder / 'output.log').read_text()[-2000:]}"
            with contextlib.suppress(KafkaException):
                if AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0}).list_topics(timeout=2).brokers:
                    return
            assert time.monotonic() < deadline, f"Kafka does not answer after {seconds} s"
            time.sleep(0.2)

    def kill(self) -> None:
        """`kill -9`."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """End it in order; killed where that takes too long."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()


def real_broker_missing() -> str | None:
    """Why there is no real broker here, or None."""
    if not START.exists():
        return "no Apache Kafka in ../shared/kafka"
    return None if shutil.which("java") else "no java on the PATH"


@pytest.fixture(scope="session")
def mock_broker() -> MockBroker:
    """librdkafka's mock cluster."""
    return MockBroker()


@pytest.fixture(scope="session")
def _kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealBroker]:
    if reason := real_broker_missing():
        pytest.skip(reason)
    broker = RealBroker(tmp_path_factory.mktemp("kafka"))
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()


@pytest.fixture
def real_broker(_kafka: RealBroker) -> RealBroker:
    """Apache Kafka, one for all tests; started again where the test before killed it."""
    _kafka.start()
    return _kafka


@pytest.fixture
def best_broker(request: pytest.FixtureRequest) -> Broker:
    """Apache Kafka where it is there, the mock where not: for flows of whole processes, which take long."""
    found: Broker = request.getfixturevalue("mock_broker" if real_broker_missing() else "real_broker")
    return found


@pytest.fixture(params=["mock_broker", "real_broker"], ids=["mock", "real"])
def broker(request: pytest.FixtureRequest) -> Broker:
    """Each kind of broker in turn."""
    found: Broker = request.getfixturevalue(request.param)
    return found


_chance = random.SystemRandom()
_taken: list[socket.socket] = []
"""Ports that stay taken, so that nobody else comes to listen there."""


def unused_address() -> str:
    """An address where nothing listens, and nothing will."""
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    _taken.append(taken)
    return f"127.0.0.1:{taken.getsockname()[1]}"


def create_topic(broker: Broker, partitions: int = 1, prefix: str = "topic", **config: str) -> str:
    """A new topic of a name that was never used; the mock gives it 4 partitions whatever is asked for."""
    topic = f"{prefix}-{uuid.uuid4().hex[:12]}"
    if isinstance(broker, MockBroker):
        # It knows no CreateTopics request, and creates a topic when a producer asks for it.
        Producer({"bootstrap.servers": broker.bootstrap}).list_topics(topic, timeout=10)
        return topic
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.create_topics([NewTopic(topic, partitions, 1, config=dict(config))])[topic].result(30)
    while True:  # the controller has it before the broker serves it
        found = admin.list_topics(timeout=10).topics.get(topic)
        if found is not None and len(found.partitions) == partitions:
            return topic
        time.sleep(0.05)


def produce(
    broker: Broker,
    topic: str,
    values: Iterable[bytes | None],
    *,
    key: bytes | None = None,
    headers: Headers = (),
    partition: int = -1,
) -> None:
    """Write messages and wait until all are delivered."""
    failed: list[KafkaError] = []
    producer = Producer({"bootstrap.servers": broker.bootstrap, "linger.ms": 5})

    def delivered(error: KafkaError | None, _: object) -> None:
        if error is not None:
            failed.append(error)

    for value in values:
        while True:
            try:
                producer.produce(topic, value, key, partition, on_delivery=delivered, headers=list(headers))
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    assert producer.flush(60) == 0
    assert not failed, failed[0]


def read_topic(broker: Broker, topic: str, seconds: float = 60) -> list[Stored]:
    """All messages of a topic, to the end of each partition."""
    consumer = Consumer({
        "bootstrap.servers": broker.bootstrap,
        "group.id": "tests",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
    })  # fmt: skip
    partitions = list(consumer.list_topics(topic, timeout=10).topics[topic].partitions)
    consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    found: list[Stored] = []
    ended: set[int] = set()
    deadline = time.monotonic() + seconds
    while len(ended) < len(partitions):
        assert time.monotonic() < deadline, f"{topic}: no end after {seconds} s and {len(found)} messages"
        for message in consumer.consume(1000, 0.2):
            error = message.error()
            if error is None:
                found.append(
                    Stored(
                        message.key(),
                        message.value(),
                        tuple(message.headers() or ()),
                        message.partition(),
                        message.offset(),
                    )
                )
            elif error.code() == KafkaError._PARTITION_EOF:
                ended.add(message.partition())
    consumer.close()
    return found


def committed(broker: Broker, topic: str, group: str) -> dict[int, int]:
    """What a consumer group has committed, by partition: what lag tools see."""
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": group})
    places = [
        TopicPartition(topic, number) for number in consumer.list_topics(topic, timeout=10).topics[topic].partitions
    ]
    found = {it.partition: it.offset for it in consumer.committed(places, timeout=30) if it.offset >= 0}
    consumer.close()
    return found


def free_ports() -> int:
    """A free port with a free one after it: Kafka's controller takes that.

    They are below those that systems give to whoever asks for any, which a broker that is away for a while would lose.
    """
    while True:
        port = _chance.randrange(20_000, 30_000, 2)  # another process of tests finds another
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for it in (port, port + 1):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", it))
            return port

"""Load generator for queries to a running flow over Kafka: one at a time, at a steady rate, or many in flight."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, cycle
from typing import Final

from core.errors import MemewaxError, WorldError
from core.settings import PREFIX
from dataflows.all_settings import Settings
from memewax.bench.bench_topics import Topics
from memewax.commands.query_client import QueryClient

_START_SECONDS: Final = 600.0
_PATIENCE_SECONDS: Final = 60.0
_PAUSE_SECONDS: Final = 0.02
"""Pause between an answer and the next query of a single client, so that the query finds the flow idle."""


@dataclass(frozen=True, slots=True)
class Load:
    """Result of a period under load."""

    answered: int
    seconds: float
    milliseconds: list[float]
    """Latency of each query, from sending it to receiving its answer."""

    @property
    def per_second(self) -> float:
        """Return the throughput in answers per second."""
        return self.answered / self.seconds


class Questions:
    """Sends the same texts to one corpus in a cycle, each for ten hits and with a new id."""

    def __init__(self, query_client: QueryClient, corpus: str, texts: list[str]) -> None:
        self._client = query_client
        self._corpus = corpus
        self._texts = cycle(texts)
        self._numbers = count()
        self._sent: dict[str, float] = {}
        self._errors: list[str] = []

    def one_by_one(self, times: int) -> list[float]:
        """Send queries one at a time, each after the answer to the last one; return latencies in milliseconds."""
        latencies = []
        for _ in range(times):
            self._send()
            latencies += self._wait()
            time.sleep(_PAUSE_SECONDS)
        return latencies

    def at_rate(self, per_second: float, seconds: float) -> Load:
        """Send queries at a steady rate, whether or not the answers keep up (open loop)."""
        start = time.monotonic()
        latencies: list[float] = []
        for number in range(round(per_second * seconds)):
            while (left := start + number / per_second - time.monotonic()) > 0:
                latencies += self._arrived(left)
            self._send()
        return self._ended(start, latencies)

    def in_flight(self, many: int, seconds: float) -> Load:
        """Keep `many` queries in flight, to measure the maximum throughput (closed loop)."""
        start = time.monotonic()
        latencies: list[float] = []
        while time.monotonic() - start < seconds:
            while len(self._sent) < many:
                self._send()
            latencies += self._arrived(0.01)
        return self._ended(start, latencies)

    def _send(self) -> None:
        id_ = f"bench-{os.getpid()}-{next(self._numbers)}"
        self._sent[id_] = time.perf_counter()
        self._client.send({"id": id_, "text": next(self._texts), "k": 10, "corpus": self._corpus})

    def _arrived(self, seconds: float) -> list[float]:
        """Return the latencies of the answers that arrive within `seconds`."""
        latencies = []
        for answer in self._client.arrived(seconds):
            sent = self._sent.pop(answer["id"], None)
            if "error" in answer:
                raise MemewaxError(f"a query failed: {answer['error']['reason']}")
            if sent is not None:
                latencies.append(1000 * (time.perf_counter() - sent))
        return latencies

    def _wait(self) -> list[float]:
        """Wait for all outstanding answers and return their latencies; raises `WorldError` on a timeout."""
        latencies: list[float] = []
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while self._sent:
            if time.monotonic() > deadline:
                raise WorldError(f"{len(self._sent)} queries were not answered within {_PATIENCE_SECONDS:g} s")
            latencies += self._arrived(0.1)
        return latencies

    def _ended(self, start: float, latencies: list[float]) -> Load:
        latencies += self._wait()
        return Load(len(latencies), time.monotonic() - start, latencies)


@contextlib.contextmanager
def served(topics: Topics, settings: Settings, corpus: str, texts: list[str], processes: int) -> Iterator[Questions]:
    """Run `memewax serve` during the block, and yield a client of it once all its processes answer."""
    queries, answers = topics.create(), topics.create()
    command = [sys.executable, "-m", "memewax", "serve", "--processes", str(processes), "--store", str(settings.store)]
    command += ["--from", topics.address(queries), "--to", topics.address(answers)]
    environment = {**os.environ, f"{PREFIX}ANSWER_IMAGES": "false", f"{PREFIX}LOG_LEVEL": "error"}
    recovery = tempfile.TemporaryDirectory(prefix="memewax-bench-")  # new, because the topics are new
    command += ["--recovery", recovery.name]
    query_client = QueryClient(topics.brokers, queries, answers, settings.kafka)
    process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    try:
        for number in range(8):  # most likely at least one for each partition and process
            _ready(query_client, process, {"id": f"ready-{number}", "text": texts[0], "corpus": corpus})
        yield Questions(query_client, corpus, texts)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
        query_client.close()
        recovery.cleanup()


def _ready(query_client: QueryClient, process: "subprocess.Popen[bytes]", body: dict[str, str]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    query_client.send(body)
    while not any(answer["id"] == body["id"] for answer in query_client.arrived(0.2)):
        if process.poll() is not None:
            raise MemewaxError("the flow ended before it answered; the lines above say why")
        if time.monotonic() > deadline:
            raise WorldError(f"the flow did not answer within {_START_SECONDS:g} s")

"""Asks a running flow over Kafka, one query after the other and many at once, and takes the time."""

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
"""Between an answer and the next question of somebody who asks alone: the flow is idle when it comes."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a stretch of many questions gave."""

    answered: int
    seconds: float
    milliseconds: list[float]
    """From sending to arrival, of each."""

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return self.answered / self.seconds


class Questions:
    """Asks one corpus the same sentences over and over, ten hits each, every time with a new id."""

    def __init__(self, query_client: QueryClient, corpus: str, texts: list[str]) -> None:
        self._asker = query_client
        self._corpus = corpus
        self._texts = cycle(texts)
        self._numbers = count()
        self._sent: dict[str, float] = {}
        self._errors: list[str] = []

    def one_by_one(self, times: int) -> list[float]:
        """Milliseconds of each question, asked when the one before is answered."""
        taken = []
        for _ in range(times):
            self._send()
            taken += self._wait()
            time.sleep(_PAUSE_SECONDS)
        return taken

    def at_rate(self, per_second: float, seconds: float) -> Load:
        """Questions at a steady rate, whether or not the answers keep up."""
        start = time.monotonic()
        taken: list[float] = []
        for number in range(round(per_second * seconds)):
            while (left := start + number / per_second - time.monotonic()) > 0:
                taken += self._arrived(left)
            self._send()
        return self._ended(start, taken)

    def in_flight(self, many: int, seconds: float) -> Load:
        """As many as can be answered, so many on their way at any time."""
        start = time.monotonic()
        taken: list[float] = []
        while time.monotonic() - start < seconds:
            while len(self._sent) < many:
                self._send()
            taken += self._arrived(0.01)
        return self._ended(start, taken)

    def _send(self) -> None:
        id_ = f"bench-{os.getpid()}-{next(self._numbers)}"
        self._sent[id_] = time.perf_counter()
        self._asker.send({"id": id_, "text": next(self._texts), "k": 10, "corpus": self._corpus})

    def _arrived(self, seconds: float) -> list[float]:
        taken = []
        for answer in self._asker.arrived(seconds):
            sent = self._sent.pop(answer["id"], None)
            if "error" in answer:
                raise MemewaxError(f"a question was answered with an error: {answer['error']['reason']}")
            if sent is not None:
                taken.append(1000 * (time.perf_counter() - sent))
        return taken

    def _wait(self) -> list[float]:
        taken: list[float] = []
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while self._sent:
            if time.monotonic() > deadline:
                raise WorldError(f"{len(self._sent)} questions were not answered within {_PATIENCE_SECONDS:g} s")
            taken += self._arrived(0.1)
        return taken

    def _ended(self, start: float, taken: list[float]) -> Load:
        taken += self._wait()
        return Load(len(taken), time.monotonic() - start, taken)


@contextlib.contextmanager
def served(topics: Topics, settings: Settings, corpus: str, texts: list[str], processes: int) -> Iterator[Questions]:
    """A flow that answers, as `memewax serve` runs it, ready when the block begins and ended with it."""
    queries, answers = topics.made(), topics.made()
    command = [sys.executable, "-m", "memewax", "serve", "--processes", str(processes), "--store", str(settings.store)]
    command += ["--from", topics.address(queries), "--to", topics.address(answers)]
    environment = {**os.environ, f"{PREFIX}ANSWER_IMAGES": "false", f"{PREFIX}LOG_LEVEL": "error"}
    recovery = tempfile.TemporaryDirectory(prefix="memewax-bench-")  # of these topics alone
    command += ["--recovery", recovery.name]
    query_client = QueryClient(topics.brokers, queries, answers, settings.kafka)
    process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    try:
        for number in range(8):  # one for each partition and process, most likely
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
            raise MemewaxError("the flow has ended before it answered; it has said why")
        if time.monotonic() > deadline:
            raise WorldError(f"the flow did not answer within {_START_SECONDS:g} s")

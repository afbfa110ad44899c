"""The services on this machine, and a clock that goes only when somebody waits."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.services import Services, served


@dataclass(slots=True)
class HandClock:
    """Waits at once, and remembers for how long."""

    time: float = 1_700_000_000.0
    waits: list[float] = field(default_factory=list)

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.time += seconds


@pytest.fixture
def services() -> Iterator[Services]:
    """All three of them."""
    with served() as services:
        yield services


@pytest.fixture
def clock() -> HandClock:
    """A clock of its own."""
    return HandClock()

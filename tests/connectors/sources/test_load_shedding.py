"""A share that keeps posts fresh, tried on a simulated stream and a flow that is too slow for it."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from connectors.sources.load_shedding import LoadShedder
from connectors.sources.sampled import Sampled, place_of
from connectors.sources.source import Live, Position, Reader, Source, Unit
from core.records import Message
from core.telemetry import SHARE_KEPT, SKIPPED, STREAM_BEHIND
from tests.factories import message

MAX = 60.0


@dataclass
class Flow:
    """A stream of so many posts a second, and a flow that handles so many; all is simulated, in seconds."""

    posts: Callable[[float], float]
    handles: float
    ahead: int = 64
    """Posts that are read ahead of the flow, as images are fetched."""
    most: float = 1.0
    time: float = 0.0
    ages: list[tuple[float, float]] = field(default_factory=list)
    """Of posts that went into the flow: when, and how old they were."""
    shares: list[tuple[float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.kept = LoadShedder(self.most, MAX, now=lambda: self.time)

    def run(self, seconds: float, start: float = 0.0) -> None:
        """Handle what is posted from `start`, for so many seconds from 0."""
        stream = self._stream(start)
        queue: deque[tuple[float, float]] = deque()
        coming = next(stream)
        while self.time < seconds:
            while len(queue) < self.ahead and coming[0] <= self.time:
                posted, place = coming
                coming = next(stream)
                if not self.kept.is_too_old(Live("test", posted)) and place < self.kept.share:
                    queue.append((posted, self.time))
            if not queue:
                self.time = max(self.time, min(coming[0], self.time + 0.05))
                continue
            posted, read_at = queue.popleft()
            self.time += 1 / self.handles
            self.kept.record_emitted("part", Live("test", posted), read_at)
            self.ages.append((self.time, self.time - posted))
            self.shares.append((self.time, self.kept.share))

    def _stream(self, time: float) -> Iterator[tuple[float, float]]:
        number = 0
        while True:
            number += 1
            yield time, number * 0.6180339887 % 1  # spread evenly over 0 to 1
            time += 1 / self.posts(time)

    def mean_share(self, after: float) -> float:
        found = [share for time, share in self.shares if time > after]
        return sum(found) / len(found)


def test_who_is_fast_enough_reads_all() -> None:
    flow = Flow(lambda _: 4.0, handles=20.0)
    flow.run(300)
    assert {share for _, share in flow.shares} == {1.0}
    assert max(age for _, age in flow.ages) < 1


@pytest.mark.parametrize("handles", [0.5, 3.0, 10.0])
@pytest.mark.parametrize("too_many", [1.5, 4.0, 30.0])
def test_posts_are_no_older_than_they_may_be_and_the_flow_stays_busy(handles: float, too_many: float) -> None:
    flow = Flow(lambda _: handles * too_many, handles=handles, ahead=16)
    flow.run(3000)
    late = [age for time, age in flow.ages if age > MAX + 2 / handles]
    assert len(late) < 0.02 * len(flow.ages)
    assert flow.mean_share(1000) == pytest.approx(1 / too_many, rel=0.15)
    assert len(flow.ages) > 0.9 * 3000 * handles  # it is never idle for long
    settled = [age for time, age in flow.ages if time > 1000]
    assert 0.2 * MAX < sum(settled) / len(settled) < 0.9 * MAX


def test_a_burst_of_ten_times_passes_and_all_is_read_again() -> None:
    flow = Flow(lambda time: 30.0 if 200 <= time < 500 else 3.0, handles=5.0, ahead=16)
    flow.run(1500)
    assert len([age for _, age in flow.ages if age > MAX + 1]) < 0.02 * len(flow.ages)
    assert min(share for time, share in flow.shares if 300 < time < 500) < 0.3
    assert flow.shares[-1][1] == 1.0
    assert flow.ages[-1][1] < 2


def test_after_a_long_break_what_is_too_old_is_passed_over() -> None:
    flow = Flow(lambda _: 2.0, handles=5.0)
    flow.run(100, start=-36_000)
    assert max(age for _, age in flow.ages) <= MAX + 1
    assert flow.ages[-1][1] < 10


def test_a_share_is_never_more_than_was_asked_for() -> None:
    flow = Flow(lambda _: 10.0, handles=20.0, most=0.3)
    flow.run(300)
    assert {share for _, share in flow.shares} == {0.3}


def test_without_overload_it_is_told_how_far_behind_posts_are() -> None:
    time = 1000.0
    kept = LoadShedder(0.5, now=lambda: time)
    with capture_logs() as told:
        for time in (1000.0, 1100.0, 1130.0, 1300.0):
            kept.record_emitted("part", Live("bluesky", time - 70), time - 1)
    assert STREAM_BEHIND.labels("bluesky")._value.get() == 70
    assert [it["seconds"] for it in told] == [70, 70]  # once a minute
    assert kept.share == SHARE_KEPT._value.get() == 0.5
    assert not kept.is_too_old(Live("bluesky", 0.0))


class Given(Source, Reader):
    """One unit of a live stream."""

    def __init__(self, messages: list[Message], time: float) -> None:
        self.unit: Unit | None = Unit(messages, {"next": 1}, live=Live("test", time))

    def parts(self) -> list[str]:
        return ["0"]

    def open(self, part: str, resume: Position | None) -> Reader:
        return self

    def read(self) -> Unit | None:
        unit, self.unit = self.unit, None
        return unit

    @property
    def ended(self) -> bool:
        return self.unit is None

    def close(self) -> None:
        pass


def test_deletes_are_read_whatever_is_left_out_and_that_is_counted() -> None:
    posts = [message({"global_id": f"{n}", "url": f"u{n}"}) for n in range(200)]
    gone = message({"global_id": "7", "deleted": True})
    kept = LoadShedder(0.8, MAX, now=lambda: 1000.0)
    kept.share = 0.25
    counters = {it: SKIPPED.labels("sample", it) for it in ("left out by sample", "left out by overload", "too old")}
    before = {it: counter._value.get() for it, counter in counters.items()}

    def counted() -> list[float]:
        return [counter._value.get() - before[it] for it, counter in counters.items()]

    unit = Sampled(Given([*posts, gone], 999.0), kept).open("0", None).read()
    assert unit is not None
    assert unit.messages == [*(it for it in posts if (place_of(it) or 0.0) < 0.25), gone]
    above, between = (sum(low <= (place_of(it) or 0.0) < high for it in posts) for low, high in ((0.8, 1), (0.25, 0.8)))
    assert counted() == [above, between, 0]
    unit = Sampled(Given([*posts, gone], 900.0), kept).open("0", None).read()
    assert unit is not None
    assert unit.messages == [gone]
    assert unit.live == ("test", 900.0, True)
    assert counted()[2] == 200

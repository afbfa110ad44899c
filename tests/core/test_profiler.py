"""Profiles of this process: what is computed, waited for and blocked by the lock, and sums that agree with the clock."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import pytest

from core import thread_clock
from core.http_pages import PageRequest
from core.profiled import ENGINE, WAITING, ProcessProfile, SectionProfile, merged
from core.profiler import Profiler, profile_page
from core.sections import SECTIONS, SectionClock
from core.telemetry import step


@pytest.fixture(autouse=True)
def no_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SECTIONS, "workers", {})
    monkeypatch.setattr(SECTIONS, "steps", {})


@contextmanager
def working(*turns: Callable[[], None]) -> Iterator[threading.Event]:
    """Threads that run a flow: each repeats its turn."""
    over = threading.Event()

    def run(turn: Callable[[], None]) -> None:
        SECTIONS.work()
        while not over.is_set():
            turn()

    threads = [threading.Thread(target=run, args=(turn,), daemon=True) for turn in turns]
    for it in threads:
        it.start()
    while len(SECTIONS.workers) < len(turns):
        time.sleep(0.001)
    yield over
    over.set()
    for it in threads:
        it.join()


def profiled(seconds: float = 0.5) -> ProcessProfile:
    found = Profiler("memes", 0, 1).profile(seconds)
    assert found is not None
    return found


def by_name(profile: ProcessProfile) -> dict[str, SectionProfile]:
    return {it.section: it for it in profile.sections}


def compute(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def test_sections_are_together_what_the_clock_says() -> None:
    def turn() -> None:
        with step("text", 8):
            time.sleep(0.01)
            with step("inner", 3):
                compute(0.005)
        time.sleep(0.005)

    with working(turn, turn):
        start = time.perf_counter()
        found = profiled()
        took = time.perf_counter() - start
    assert found.workers == 2
    assert found.seconds <= took
    assert sum(it.seconds for it in found.sections) == pytest.approx(2 * found.seconds, rel=0.05)
    for it in found.sections:
        assert it.computing + it.locked + it.queued + it.elsewhere == pytest.approx(it.seconds, abs=1e-6)
    sections = by_name(found)
    assert sections["text"].elsewhere > sections["text"].computing, "it sleeps"
    assert sections["inner"].computing > sections["text"].computing, "what is inside is not of the outer one"
    assert sections[WAITING].seconds > 0
    assert sections[ENGINE].computing < sections["inner"].computing
    assert [(it.least, it.most) for it in sections["text"].sizes] == [(8, 8)]
    assert sections["inner"].items == 3 * sections["inner"].batches


def beside_a_holder() -> tuple[bool, SectionProfile, SectionProfile]:
    """Return whether the lock is known, and a section's profile alone and beside a thread that holds the lock."""

    def turn() -> None:
        with step("text", 1):
            compute(0.01)

    def hold() -> None:
        while not over.is_set():
            pass

    with working(turn) as over:
        alone = by_name(profiled())["text"]
        holder = threading.Thread(target=hold)
        holder.start()
        for _ in range(5):  # on a busy machine the holder itself may wait for a core while it is looked at
            found = profiled()
            beside = by_name(found)["text"]
            if beside.locked > 0.05 * (beside.seconds - beside.queued):
                break
    holder.join()
    return found.knows_lock, alone, beside


def test_a_thread_that_holds_the_lock_is_seen_by_who_waits_for_it() -> None:
    with get_context("spawn").Pool(1) as pool:  # a process of its own: threads of other tests hold the lock too
        knows_lock, alone, beside = pool.apply(beside_a_holder)
    if not knows_lock:
        pytest.skip("the system does not tell what a thread waits for")
    assert beside.locked > alone.locked
    assert beside.locked > 0.05 * (beside.seconds - beside.queued)


def test_a_batch_that_began_before_and_ends_after_is_counted_for_what_was_seen() -> None:
    entered, leave = threading.Event(), threading.Event()

    def turn() -> None:
        with step("text", 1):
            entered.set()
            leave.wait()

    with working(turn):
        entered.wait()
        found = profiled(0.2)
        leave.set()
    assert by_name(found)["text"].seconds == pytest.approx(found.seconds, rel=0.05)
    assert by_name(found)["text"].sizes == ()


def test_steps_of_other_threads_are_told_beside() -> None:
    over = threading.Event()

    def write() -> None:
        while not over.wait(0.001):
            with step("store", 1):
                time.sleep(0.01)

    thread = threading.Thread(target=write)
    with working(lambda: time.sleep(0.01)):
        thread.start()
        found = profiled(0.2)
        over.set()
    thread.join()
    assert "store" not in by_name(found)
    assert found.beside["store"] > 0


def test_stacks_say_where_it_was() -> None:
    def turn() -> None:
        with step("text", 1):
            compute(0.01)

    over = threading.Event()
    idle = threading.Thread(target=over.wait, name="idle")
    idle.start()
    with working(turn):
        found = profiled(0.3)
        over.set()
    assert not any(stack.startswith("idle") for stack in found.stacks)
    assert any(stack.startswith("worker;text;") and stack.endswith("compute") for stack in found.stacks)
    assert not any(stack.startswith("profile") for stack in found.stacks), "who looks is not looked at"


def test_where_the_system_tells_nothing_there_is_still_a_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_clock, "_opened", lambda _number, _name: None)

    def turn() -> None:
        with step("text", 1):
            time.sleep(0.005)

    with working(turn):
        found = profiled(0.2)
    assert not found.knows_lock
    assert sum(it.seconds for it in found.sections) == pytest.approx(found.seconds, rel=0.05)


def test_batches_are_told_in_ranges_that_double() -> None:
    def turn() -> None:
        for items in (1, 2, 3, 4, 5, 8, 9):
            with step("text", items):
                pass
        time.sleep(0.001)

    with working(turn):
        sizes = by_name(profiled(0.2))["text"].sizes
    assert [(it.least, it.most) for it in sizes] == [(1, 1), (2, 2), (3, 4), (5, 8), (9, 9)]
    assert merged([by_name_of(sizes)] * 2).sizes[2].batches == 2 * sizes[2].batches


def by_name_of(sizes: tuple[object, ...]) -> SectionProfile:
    return SectionProfile(section="text", seconds=1, computing=1, locked=0, queued=0, elsewhere=0, sizes=sizes)


def asked(profiler: Profiler, query: dict[str, str], *, is_local: bool = True) -> tuple[int, bytes]:
    answer = profile_page(profiler)(PageRequest("/profile", query, is_local=is_local))
    return answer.status, answer.body


def test_it_is_for_this_machine_and_one_at_a_time() -> None:
    profiler = Profiler("memes", 1, 2)
    assert asked(profiler, {}, is_local=False)[0] == 403
    for seconds in ("0", "-1", "nan", "inf", "601", "many"):
        assert asked(profiler, {"seconds": seconds})[0] == 400
    status, body = asked(profiler, {"seconds": "0.05"})
    assert (status, ProcessProfile.model_validate_json(body).process) == (200, 1)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(asked, profiler, {"seconds": "60"})
        while not profiler._busy.locked():
            time.sleep(0.001)
        assert asked(profiler, {"seconds": "1"})[0] == 409
        assert profiler.stop(), "who looks when the flow ends gets what there is"
        assert first.result(20)[0] == 200
    assert not profiler.stop()


def test_a_whole_run_is_written_when_it_ends(tmp_path: Path) -> None:
    profiler = Profiler("memes", 3, 2)
    profiler.write_to(None)
    assert not profiler.stop()
    profiler = Profiler("memes", 3, 2)
    profiler.write_to(str(tmp_path))
    while not profiler._busy.locked():
        time.sleep(0.001)
    profiler.stop()
    assert ProcessProfile.model_validate_json((tmp_path / "3.json").read_bytes()).process == 3


def test_a_batch_that_begins_as_the_clock_is_set_is_counted_once() -> None:
    """Whoever sets the clock takes note of it, or who is in it says so; or both."""
    thread = threading.get_ident()
    clock = SectionClock()
    clock.begin(thread, "text", time.perf_counter(), time.thread_time())
    clock.enter("text")
    clock.begin(thread, "text", time.perf_counter(), time.thread_time())
    clock.leave("text", 3)
    assert clock.now_in(thread) == ""
    assert clock.times(thread)["text"].batches[3][0] == 1

"""Which engine is taken: the fastest whose answers are near the exact ones, tried once; never which one that is here."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from core.errors import WeightsError
from models import engine_choice
from models.engine import Plan
from models.engine_choice import Choice, EnginePart, Wanted, choose, try_all
from models.engines import plans
from models.runtime import Runtime

EXACT = Plan("torch", "exact")
INT8, BF16, FP32 = Plan("onnx", "int8"), Plan("torch", "bf16"), Plan("onnx", "fp32")


class Machine:
    """What answers how fast, by a clock of its own."""

    def __init__(self, **seconds: float) -> None:
        self.seconds = {EXACT: 1.0, INT8: 0.25, BF16: 0.5, FP32: 0.75}
        self.answers = dict.fromkeys(self.seconds, 0.0)
        self.fails: set[Plan] = set()
        self.loaded: list[Plan] = []
        self.now = 0.0
        self.busy = 0.0
        """Seconds that each answer takes longer than the one before."""
        self._answered = 0

    def part(self) -> EnginePart:
        return EnginePart(
            "image model", "tiny/model@1", EXACT, (INT8, BF16, FP32), self._load, lambda a, b: abs(a - b), 0.01
        )

    def _load(self, plan: Plan) -> Callable[[], float]:
        self.loaded.append(plan)
        if plan in self.fails:
            raise WeightsError("no such operator\nand a long trace")

        def answer() -> float:
            self._answered += 1
            self.now += self.seconds[plan] + self.busy * self._answered
            return self.answers[plan]

        return answer


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    found = Machine()
    monkeypatch.setattr(engine_choice, "perf_counter", lambda: found.now)
    monkeypatch.setattr(engine_choice, "plans", lambda device: (INT8, BF16, FP32))
    return found


def chosen(machine: Machine, cache: Path, wanted: Wanted = "auto") -> Choice:
    return choose(machine.part(), wanted, Runtime(), cache)


def test_the_fastest_is_taken_and_why_is_said(machine: Machine, tmp_path: Path) -> None:
    found = chosen(machine, tmp_path)
    assert found.plan == INT8
    assert found.reason.startswith("250 ms for the trial images, and 1000 ms by torch exact; differs by 0")
    assert [(it.plan, it.fastest) for it in found.trials] == [(EXACT, 1000), (INT8, 250), (BF16, 500), (FP32, 750)]


def test_one_that_differs_by_more_than_is_tolerated_is_out_and_logged(machine: Machine, tmp_path: Path) -> None:
    machine.answers[INT8] = 0.02
    with capture_logs() as logs:
        assert chosen(machine, tmp_path).plan == BF16
    told = [line for line in logs if line["event"] == "an engine cannot be used"]
    assert [(it["plan"], it["reason"]) for it in told] == [("onnx int8", "differs by 0.02, and 0.01 is tolerated")]


def test_an_answer_that_is_no_number_is_out(machine: Machine, tmp_path: Path) -> None:
    machine.answers[INT8] = float("nan")
    assert chosen(machine, tmp_path).plan == BF16


def test_where_all_differ_or_fail_the_exact_one_stays(machine: Machine, tmp_path: Path) -> None:
    machine.answers |= {INT8: 1.0, FP32: 1.0}
    machine.fails = {BF16}
    found = chosen(machine, tmp_path)
    assert found.plan == EXACT
    assert [it.refused for it in found.trials if it.plan == BF16] == ["cannot be used: no such operator"]


def test_where_none_is_faster_the_exact_one_stays(machine: Machine, tmp_path: Path) -> None:
    machine.seconds |= {INT8: 0.97, BF16: 2.0, FP32: 1.3}
    machine.answers[INT8] = 0.001
    found = chosen(machine, tmp_path)
    assert found.plan == EXACT
    assert "no other is faster here: the best is onnx int8" in found.reason


def test_what_was_found_is_kept(machine: Machine, tmp_path: Path) -> None:
    first = chosen(machine, tmp_path)
    machine.loaded.clear()
    assert chosen(machine, tmp_path) == first
    assert machine.loaded == []


@pytest.mark.parametrize("what", ["processor", "threads", "weights", "damaged"])
def test_another_machine_or_model_is_tried_again(
    what: str, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen(machine, tmp_path)
    machine.loaded.clear()
    part, runtime = machine.part(), Runtime()
    if what == "processor":
        monkeypatch.setattr(engine_choice, "processor", lambda: "another")
    elif what == "threads":
        runtime = Runtime(threads=2)
    elif what == "weights":
        part = engine_choice.replace(part, identity="other@2")
    else:
        for file in tmp_path.glob("engines-*/*.json"):
            file.write_text("{")
    choose(part, "auto", runtime, tmp_path)
    assert machine.loaded


def test_times_that_other_work_disturbs_are_taken_more_often_and_again_later(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.busy = 0.5
    found = chosen(machine, tmp_path)
    assert not found.is_steady
    assert {len(it.milliseconds) for it in found.trials if it.plan == found.plan} == {9}
    machine.loaded.clear()
    assert chosen(machine, tmp_path) == found
    assert machine.loaded == []
    now = time.time()
    monkeypatch.setattr(engine_choice, "time", lambda: now + 4000)
    machine.busy = 0.0
    assert chosen(machine, tmp_path).is_steady
    assert machine.loaded


def test_one_that_answers_to_the_last_bit_need_not_gain(machine: Machine, tmp_path: Path) -> None:
    machine.seconds |= {INT8: 1.2, BF16: 3.0, FP32: 3.0}
    assert chosen(machine, tmp_path).plan == INT8
    machine.answers[INT8] = 0.001
    assert chosen(machine, tmp_path / "another").plan == EXACT


def test_exact_tries_nothing(machine: Machine, tmp_path: Path) -> None:
    assert chosen(machine, tmp_path, "exact").plan == EXACT
    assert machine.loaded == []
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("wanted", "plan"), [("int8", INT8), ("bf16", BF16), ("fp32", FP32)])
def test_a_precision_that_is_named_is_taken_however_slow_it_is(
    wanted: Wanted, plan: Plan, machine: Machine, tmp_path: Path
) -> None:
    machine.seconds = dict.fromkeys(machine.seconds, 2.0) | {EXACT: 1.0}
    assert chosen(machine, tmp_path, wanted).plan == plan
    assert set(machine.loaded) == {EXACT, plan}


def test_a_precision_that_nothing_computes_in_here_means_float32(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_choice, "plans", lambda device: (FP32,))
    assert chosen(machine, tmp_path, "bf16").plan == FP32
    monkeypatch.setattr(engine_choice, "plans", lambda device: ())
    assert chosen(machine, tmp_path, "int8").plan == EXACT


@pytest.mark.parametrize(
    ("flags", "tried"),
    [("avx2 fma", [FP32]), ("avx512f avx512_vnni", [INT8, FP32]), ("avx512_bf16 avx512_vnni", [INT8, BF16, FP32])],
)
@pytest.mark.parametrize("seconds", [0.75, 1.3])
def test_a_processor_tries_what_it_has_instructions_for_and_is_never_slower(
    seconds: float, flags: str, tried: list[Plan], machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.processor._facts", lambda: {"model name": "Another", "flags": flags})
    monkeypatch.setattr(engine_choice, "plans", plans)
    machine.seconds |= dict.fromkeys((INT8, BF16, FP32), seconds)
    machine.answers |= dict.fromkeys((INT8, BF16, FP32), 0.001)
    assert chosen(machine, tmp_path).plan == (tried[0] if seconds < 1 else EXACT)
    assert machine.loaded == [EXACT, *tried]
    assert chosen(machine, tmp_path, "bf16").plan == (BF16 if BF16 in tried else FP32)


def test_where_nothing_can_be_kept_it_is_tried_each_time(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for _ in range(2):
        machine.loaded.clear()
        assert chosen(machine, tmp_path / "file").plan == INT8
        assert machine.loaded


def test_who_is_hopeless_is_not_timed_again(machine: Machine) -> None:
    found = {it.plan: len(it.milliseconds) for it in try_all(machine.part(), (INT8, BF16, FP32), 3, hopeless=2.5)}
    assert found == {EXACT: 1, INT8: 3, BF16: 3, FP32: 1}


def test_an_exact_plan_that_cannot_be_loaded_is_an_error(machine: Machine, tmp_path: Path) -> None:
    machine.fails = {EXACT}
    with pytest.raises(WeightsError, match="no such operator"):
        chosen(machine, tmp_path)

"""Which engine runs a part of a model, in which precision: tried once on this machine, and kept.

Each plan answers for the same images as the exact one. Those whose answers differ by more than is tolerated are out;
of the others the fastest is taken. What was found is kept by weights, processor, threads and versions of the engines.
"""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from math import inf
from pathlib import Path
from time import perf_counter, time
from typing import Any, Final, Literal

import orjson
from pydantic import TypeAdapter, ValidationError

from core.atomic_file import atomic_write
from core.errors import WorldError, first_line
from core.locks import locked
from core.telemetry import log
from models.engine import Plan
from models.engines import plans
from models.processor import processor
from models.runtime import Runtime

Wanted = Literal["auto", "exact", "fp32", "bf16", "int8"]
"""What the setting `precision` says."""

_VERSION: Final = 1
"""Of what is kept: what another version tried is not looked at."""
_ROUNDS: Final = 3
_MOST_ROUNDS: Final = 9
"""Where other work disturbs the times."""
_STEADY: Final = 1.1
"""The two fastest times of a plan differ by this factor at most, if nothing disturbed them."""
_AGAIN: Final = 3600.0
"""Seconds, after which what was disturbed is tried again."""
_HOPELESS: Final = 1.5
_GAIN: Final = 0.95
"""Part of the exact engine's time that another may take at most, to be worth a difference in its answers."""
_ALIKE: Final = 1.25
"""The same of one that answers to the last bit alike: other work disturbs times, and images of a stream make more of
the small numbers that are slow than those of the trial."""
_PACKAGES: Final = ("onnxruntime", "openvino", "torch")


@dataclass(frozen=True, slots=True)
class EnginePart:
    """A part of a model that several plans can run."""

    name: str
    identity: str
    """Of its weights."""
    exact: Plan
    others: tuple[Plan, ...]
    """What else could run it anywhere, the preferred first."""
    load: Callable[[Plan], Callable[[], Any]]
    """Load it; what is given answers for the trial images. Raises what the engine raises."""
    apart: Callable[[Any, Any], float]
    """How far an answer is from the exact one."""
    tolerance: float
    """The most that it may be."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A plan that was tried."""

    plan: Plan
    apart: float | None = None
    """From the exact answers; None where it could not be loaded or run."""
    refused: str = ""
    """Why it is not taken, whatever its time."""
    milliseconds: tuple[float, ...] = ()
    """What it took for the trial images, each time."""

    @property
    def fastest(self) -> float:
        """Milliseconds of the fastest time; infinite where there is none. Other work on the machine only slows."""
        return min(self.milliseconds, default=inf)


@dataclass(frozen=True, slots=True)
class Choice:
    """What runs a part, and why."""

    part: str
    plan: Plan
    reason: str
    trials: tuple[Trial, ...] = ()
    is_steady: bool = True
    """Whether no other work disturbed the times; where it did, engines are tried again by a later start."""


_CHOICE: Final = TypeAdapter(Choice)


def choose(part: EnginePart, wanted: Wanted, runtime: Runtime, cache: Path) -> Choice:
    """What is to run the part, as setting `precision` wants it; tried where it is not known yet, and kept in `cache`.

    Only what is installed and has instructions here is tried. Where a precision is named that nothing can compute the
    part in, float32 is meant. Nothing is raised for a plan that fails: the exact one stays, and the log says so.
    """
    if wanted == "exact":
        return Choice(part.name, part.exact, "asked for by MEMEWAX_PRECISION")
    tried = _candidates(part, wanted)
    if not tried:
        return Choice(part.name, part.exact, f"no other engine here computes in {wanted}")
    file = cache / f"engines-{_VERSION}" / f"{_key(part, wanted, tried, runtime)}.json"
    with ExitStack() as held:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(locked(file.parent))  # two that are timed at once would slow each other
        except (OSError, WorldError) as error:
            log.info("what is tried of engines cannot be kept", folder=str(file.parent), reason=str(error))
        known = _known(file)
        if known is not None:
            return known
        log.info("engines are tried, once on this machine", part=part.name, plans=[str(plan) for plan in tried])
        found = _decided(part, wanted, try_all(part, tried, _ROUNDS, _MOST_ROUNDS, _HOPELESS))
        _keep(file, found)
        return found


def try_all(
    part: EnginePart, others: Sequence[Plan], rounds: int = _ROUNDS, most_rounds: int = 0, hopeless: float = inf
) -> tuple[Trial, ...]:
    """Try the exact plan, which comes first, and others.

    Args:
        part: What they run.
        others: Plans.
        rounds: Times that each is timed, all taking turns.
        most_rounds: The same where times are not steady.
        hopeless: Whoever takes so many times as long as the fastest is not timed again.

    Raises:
        Whatever loading the exact plan raises; others are refused where they fail.
    """
    loaded: dict[Plan, Callable[[], Any]] = {part.exact: part.load(part.exact)}
    expected = loaded[part.exact]()
    trials = {part.exact: Trial(part.exact, 0.0)}
    for plan in others:
        try:
            answer = part.load(plan)
            apart = float(part.apart(answer(), expected))
        except Exception as error:  # engines raise any kind
            trials[plan] = Trial(plan, refused=f"cannot be used: {first_line(error)}")
            continue
        loaded[plan] = answer
        is_near = apart <= part.tolerance
        told = f"differs by {apart:.2g}, and {part.tolerance:g} is tolerated"
        trials[plan] = Trial(plan, apart, "" if is_near else told)
    times: dict[Plan, list[float]] = {plan: [] for plan in loaded}
    for number in range(max(rounds, most_rounds)):
        if number >= rounds and all(map(_is_steady, times.values())):
            break
        fastest = min((took for each in times.values() for took in each), default=inf)
        for plan, answer in loaded.items():
            if times[plan] and min(times[plan]) > hopeless * fastest:
                continue
            start = perf_counter()
            answer()
            times[plan].append(round(1000 * (perf_counter() - start), 2))
    return tuple(replace(it, milliseconds=tuple(times.get(plan, ()))) for plan, it in trials.items())


def _is_steady(milliseconds: Sequence[float]) -> bool:
    """Whether the two fastest are alike."""
    fastest = sorted(milliseconds)[:2]
    return len(fastest) < 2 or fastest[1] <= _STEADY * fastest[0]


def _candidates(part: EnginePart, wanted: Wanted) -> tuple[Plan, ...]:
    here = set(plans())
    possible = tuple(plan for plan in part.others if plan in here)
    if wanted == "auto":
        return possible
    of_it = tuple(plan for plan in possible if plan.precision == wanted)
    return of_it or tuple(plan for plan in possible if plan.precision == "fp32")


def _decided(part: EnginePart, wanted: Wanted, trials: tuple[Trial, ...]) -> Choice:
    is_steady = all(_is_steady(it.milliseconds) for it in trials)
    made = partial(Choice, part.name, trials=trials, is_steady=is_steady)
    exact, *others = trials
    for it in others:
        if it.refused:
            log.warning("an engine is not used", part=part.name, plan=str(it.plan), reason=it.refused)
    good = [it for it in others if not it.refused]
    if not good:
        return made(part.exact, "no other answers as the exact engine does")
    best = min(good, key=lambda it: it.fastest)
    if wanted == "auto":
        worth = [it for it in good if it.fastest <= (_GAIN if it.apart else _ALIKE) * exact.fastest]
        if not worth:
            told = f"{best.fastest:.0f} ms for the trial images, and {exact.fastest:.0f} ms by {exact.plan}"
            return made(part.exact, f"no other is faster here: the best is {best.plan} with {told}")
        best = min(worth, key=lambda it: it.fastest)
    told = f"{best.fastest:.0f} ms for the trial images, and {exact.fastest:.0f} ms by {exact.plan}"
    return made(best.plan, f"{told}; differs by {best.apart:.2g}, and {part.tolerance:g} is tolerated")


def _known(file: Path) -> Choice | None:
    try:
        found = _CHOICE.validate_json(file.read_bytes())
        is_of_use = found.is_steady or time() - file.stat().st_mtime < _AGAIN
    except (OSError, ValidationError):
        return None
    return found if is_of_use else None


def _keep(file: Path, choice: Choice) -> None:
    try:
        with atomic_write(file) as out:
            out.write(orjson.dumps(asdict(choice)))
    except OSError as error:
        log.info("what was tried cannot be kept", file=str(file), reason=error.strerror or str(error))


def _key(part: EnginePart, wanted: Wanted, tried: Sequence[Plan], runtime: Runtime) -> str:
    of = [part.name, wanted, str(part.exact), *map(str, tried), str(part.tolerance)]
    machine = [processor(), runtime.device, str(runtime.threads), *(f"{it} {_version(it)}" for it in _PACKAGES)]
    digest = hashlib.sha256("\n".join([part.identity, *of, *machine]).encode()).hexdigest()[:16]
    return f"{part.identity.replace('/', '--')}-{part.name.replace(' ', '-')}-{digest}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"

"""Choose the engine and the precision of a part of a model by a benchmark, once per machine.

Each plan runs on the same trial images as the exact one. Plans whose results differ by more than a tolerance are
excluded, and the fastest of the others is chosen. The choice is cached by weights, CPU, threads and engine versions.
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
from models.engine import Device, Plan
from models.engines import plans
from models.processor import processor
from models.runtime import Runtime

Wanted = Literal["auto", "exact", "fp32", "bf16", "int8"]
"""Values of the setting `precision`."""

_VERSION: Final = 2
"""Version of the cached choices; those of other versions are ignored."""
_ROUNDS: Final = 3
"""Times that each plan is timed."""
_MOST_ROUNDS: Final = 9
"""The same at most, if other work on the machine disturbs the times."""
_STEADY: Final = 1.1
"""Undisturbed, the two fastest times of a plan differ by at most this factor."""
_AGAIN: Final = 3600.0
"""Seconds after which disturbed trials are repeated."""
_HOPELESS: Final = 1.5
"""A plan that takes this many times as long as the fastest is not timed again."""
_GAIN: Final = 0.95
"""Share of the exact engine's time that a plan may take at most, to be worth a difference in its results."""
_ALIKE: Final = 1.25
"""The same for a plan with bit-identical results. It may be slower in the trial, because other work disturbs times, and
because images of a stream cause more of the slow denormals than trial images do."""
_PACKAGES: Final = ("onnxruntime", "openvino", "torch")


@dataclass(frozen=True, slots=True)
class EnginePart:
    """A part of a model that several plans can run."""

    name: str
    identity: str
    """Of its weights."""
    exact: Plan
    """The reference."""
    others: tuple[Plan, ...]
    """Other plans, whether they are possible here or not, the preferred first."""
    load: Callable[[Plan], Callable[[], Any]]
    """Load the part; return a function that computes the results of the trial images. Raises what the engine raises."""
    apart: Callable[[Any, Any], float]
    """Compute the difference of results from the exact ones."""
    tolerance: float
    """Largest difference that is accepted."""


@dataclass(frozen=True, slots=True)
class Trial:
    """The outcome of trying a plan."""

    plan: Plan
    apart: float | None = None
    """Difference from the exact results; None if the plan could not be loaded or run."""
    refused: str = ""
    """Why it is excluded, whatever its speed."""
    milliseconds: tuple[float, ...] = ()
    """Times for the trial images, one per round."""

    @property
    def fastest(self) -> float:
        """Return the shortest time in milliseconds, or infinity; other work on the machine only makes times longer."""
        return min(self.milliseconds, default=inf)


@dataclass(frozen=True, slots=True)
class Choice:
    """The plan that runs a part, and why."""

    part: str
    plan: Plan
    reason: str
    trials: tuple[Trial, ...] = ()
    is_steady: bool = True
    """Whether the times are undisturbed; otherwise a later start tries the engines again."""


_CHOICE: Final = TypeAdapter(Choice)


def choose(part: EnginePart, wanted: Wanted, runtime: Runtime, cache: Path) -> Choice:
    """Choose the plan that runs a part, by the setting `precision`; from `cache`, or by trials whose outcome it caches.

    Only plans that are possible here are tried. If the named precision is not possible for the part, `fp32` replaces
    it. A plan that fails raises nothing: the exact one is used instead, and the failure is logged.
    """
    if wanted == "exact":
        return Choice(part.name, part.exact, "asked for by MEMEWAX_PRECISION")
    tried = _candidates(part, wanted, runtime.device)
    if not tried:
        return Choice(part.name, part.exact, f"no other engine here computes in {wanted}")
    file = cache / f"engines-{_VERSION}" / f"{_key(part, wanted, tried, runtime)}.json"
    with ExitStack() as held:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(locked(file.parent))  # concurrent trials would slow each other down
        except (OSError, WorldError) as error:
            log.info("cannot cache the choice of engines", folder=str(file.parent), reason=str(error))
        known = _known(file)
        if known is not None:
            return known
        log.info("trying engines, once on this machine", part=part.name, plans=[str(plan) for plan in tried])
        found = _decided(part, wanted, try_all(part, tried, _ROUNDS, _MOST_ROUNDS, _HOPELESS))
        _keep(file, found)
        return found


def try_all(
    part: EnginePart, others: Sequence[Plan], rounds: int = _ROUNDS, most_rounds: int = 0, hopeless: float = inf
) -> tuple[Trial, ...]:
    """Try the exact plan and others. Raises what loading the exact plan raises; other plans that fail are excluded.

    Args:
        part: What the plans run.
        others: Plans other than the exact one.
        rounds: Timings of each plan; the plans take turns.
        most_rounds: Maximum timings of each plan, while times vary.
        hopeless: A plan that takes this many times as long as the fastest is not timed again.

    Returns:
        The trial of the exact plan, then those of the others.
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
        reason = f"differs by {apart:.2g}, and {part.tolerance:g} is tolerated"
        trials[plan] = Trial(plan, apart, "" if is_near else reason)
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
    """Check whether the two shortest times are similar."""
    fastest = sorted(milliseconds)[:2]
    return len(fastest) < 2 or fastest[1] <= _STEADY * fastest[0]


def _candidates(part: EnginePart, wanted: Wanted, device: Device) -> tuple[Plan, ...]:
    here = set(plans(device))
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
            log.warning("an engine cannot be used", part=part.name, plan=str(it.plan), reason=it.refused)
    good = [it for it in others if not it.refused]
    if not good:
        return made(part.exact, "no other engine gives the exact results within the tolerance")
    best = min(good, key=lambda it: it.fastest)
    if wanted == "auto":
        worth = [it for it in good if it.fastest <= (_GAIN if it.apart else _ALIKE) * exact.fastest]
        if not worth:
            times = f"{best.fastest:.0f} ms for the trial images, and {exact.fastest:.0f} ms by {exact.plan}"
            return made(part.exact, f"no other is faster here: the best is {best.plan} with {times}")
        best = min(worth, key=lambda it: it.fastest)
    times = f"{best.fastest:.0f} ms for the trial images, and {exact.fastest:.0f} ms by {exact.plan}"
    return made(best.plan, f"{times}; differs by {best.apart:.2g}, and {part.tolerance:g} is tolerated")


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
        log.info("cannot cache the choice of engines", file=str(file), reason=error.strerror or str(error))


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

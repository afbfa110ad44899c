"""Figures with what is uncertain about them, and the report that they stand in."""

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from memewax import __version__

Indices = NDArray[np.intp]
"""Which items a figure is taken over, shape (n,); an item may stand there more than once."""

RESAMPLES: Final = 1000
BOOTSTRAP: Final = "95 % interval"
_SEED: Final = 0
_PERCENTILES: Final = (2.5, 97.5)


@dataclass(frozen=True, slots=True)
class Figure:
    """A measure's value and its interval, None where it has none."""

    value: float
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What one run of an evaluation measured; a name with a dot, `arrival.ari`, is nested in JSON."""

    kind: str
    n: int
    """Items measured."""
    figures: Mapping[str, Figure]
    models: Mapping[str, str]
    packages: tuple[str, ...] = ()
    """Those whose versions the figures depend on."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """How the data were shown or the answers judged, where there is a choice."""
    failures: tuple[str, ...] = ()
    """Why items could not be answered for."""
    intervals_are: str = BOOTSTRAP
    """What the figures' intervals are, by bootstrap unless said otherwise."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values: `{kind: {figure: value, …, n, intervals, models, versions}}`."""
        intervals = {name: list(it.interval) for name, it in self.figures.items() if it.interval}
        versions = {name: version(name) for name in self.packages}
        return {
            self.kind: {
                **nested({name: it.value for name, it in self.figures.items()}),
                "n": self.n,
                "intervals": nested(intervals),
                "models": dict(self.models),
                "versions": {"memewax": __version__, "python": platform.python_version(), **versions},
                "options": dict(self.options),
                "failures": list(self.failures),
            }
        }


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """`{"a.b": 1}` as `{"a": {"b": 1}}`."""
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        *folders, last = name.split(".")
        place = tree
        for folder in folders:
            place = place.setdefault(folder, {})
        place[last] = value
    return tree


def with_intervals(n: int, measure: Callable[[Indices], Mapping[str, float]]) -> dict[str, Figure]:
    """Each figure of `measure` over all `n` items, with its percentile bootstrap interval.

    Items are drawn with replacement, the same way at every call, and each draw is measured as a whole, so that a rate
    over a corpus stays one (Efron and Tibshirani 1993). A draw on which a figure is not defined (NaN) does not count.
    """
    whole = measure(np.arange(n))
    random = np.random.default_rng(_SEED)
    drawn = [measure(random.integers(0, n, n)) for _ in range(RESAMPLES)]
    found = {}
    for name, value in whole.items():
        values = np.array([one[name] for one in drawn])
        defined = values[~np.isnan(values)]
        low, high = np.percentile(defined, _PERCENTILES) if defined.size else (value, value)
        found[name] = Figure(float(value), (float(low), float(high)))
    return found

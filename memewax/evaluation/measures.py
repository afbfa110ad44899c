"""Figures with confidence intervals (bootstrap), and reports of them."""

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from memewax import __version__

Indices = NDArray[np.intp]
"""Items that a figure is computed over, shape (n,); an item may occur more than once."""

RESAMPLES: Final = 1000
BOOTSTRAP: Final = "95 % interval"
_SEED: Final = 0
_PERCENTILES: Final = (2.5, 97.5)


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value and its interval, if it has one."""

    value: float
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """Result of an evaluation run."""

    kind: str
    n: int
    """Number of items."""
    figures: Mapping[str, Figure]
    """Figures by name; a dotted name such as `arrival.ari` is nested in JSON."""
    models: Mapping[str, str]
    """Name of the model of each stage."""
    packages: tuple[str, ...] = ()
    """Packages whose versions the figures depend on."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the evaluation; only runs with the same options are compared."""
    failures: tuple[str, ...] = ()
    """Why the model failed on items."""
    intervals_are: str = BOOTSTRAP
    """Description of the figures' intervals."""

    def to_dict(self) -> dict[str, Any]:
        """Convert to JSON values: `{kind: {figure: value, …, n, intervals, models, versions, options, failures}}`."""
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
    """Convert dotted names to nested objects.

    Examples:
        >>> nested({"a.b": 1})
        {'a': {'b': 1}}
    """
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        *folders, last = name.split(".")
        place = tree
        for folder in folders:
            place = place.setdefault(folder, {})
        place[last] = value
    return tree


def with_intervals(n: int, measure: Callable[[Indices], Mapping[str, float]]) -> dict[str, Figure]:
    """Compute figures over `n` items with 95 % percentile bootstrap intervals (Efron and Tibshirani 1993).

    Items are drawn with replacement, with a fixed seed. Each draw is measured as a whole, so that a rate over a corpus
    remains one. Draws on which a figure is NaN are ignored.

    Args:
        n: Number of items.
        measure: Computes the figures over given items.
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

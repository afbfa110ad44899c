"""Saved evaluation runs, and comparison of consecutive runs on the same data with the same options."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import orjson
import platformdirs

from core.errors import WorldError

_BESIDE: Final = ("intervals", "models", "versions", "options", "failures", "n")
"""Keys of a report that are not figures."""


@dataclass(frozen=True, slots=True)
class SavedRun:
    """A saved report."""

    time: str
    """ISO 8601, UTC."""
    kind: str
    data: str
    """Last two parts of the path, such as `memes_text/posts.jsonl`."""
    report: Mapping[str, Any]

    @property
    def figures(self) -> dict[str, float]:
        """Return the figures by dotted name."""
        return dict(_numbers({name: it for name, it in self.report.items() if name not in _BESIDE}))

    def interval(self, figure: str) -> tuple[float, float] | None:
        """Return the interval of a figure, or None if it has none."""
        place: Any = self.report["intervals"]
        for name in figure.split("."):
            place = place.get(name) if isinstance(place, dict) else None
        return (float(place[0]), float(place[1])) if place else None

    @property
    def group(self) -> tuple[str, ...]:
        """Return what comparable runs have in common: kind, data, number of items, options."""
        options = [f"{name}={it}" for name, it in self.report["options"].items() if it is not None]
        return self.kind, self.data, f"n={self.report['n']}", *options


@dataclass(frozen=True, slots=True)
class Change:
    """A figure in two runs."""

    figure: str
    before: float
    after: float
    beyond: bool
    """Whether each of the two values lies outside the interval of the other."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The last run of a group and the one before."""

    last: SavedRun
    before: SavedRun | None
    """None if there is only one run."""
    changes: tuple[Change, ...]

    def to_dict(self) -> dict[str, Any]:
        """Convert to JSON values."""
        return asdict(self)


def history_file() -> Path:
    """Return the default path of the history."""
    return Path(platformdirs.user_data_dir("memewax")) / "evaluations.jsonl"


def save(file: Path, data: Path, report: Mapping[str, Any], now: datetime) -> None:
    """Append a report, `{kind: {…}}`, to the history; raise `WorldError` if the file cannot be written."""
    ((kind, figures),) = report.items()
    resolved = data.resolve()
    run = {"time": now.isoformat(timespec="seconds"), "kind": kind, "data": "/".join(resolved.parts[-2:])}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab") as out:
            out.write(orjson.dumps({**run, "report": figures}) + b"\n")
    except OSError as error:
        raise WorldError(f"{file}: {error.strerror}") from None


def load(file: Path) -> list[SavedRun]:
    """Read all runs, oldest first; raise `WorldError` if there is no history or a line of it is broken."""
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise WorldError(f"{file}: {error.strerror}; write it with `memewax eval … --save`") from None
    try:
        runs = [SavedRun(**orjson.loads(line)) for line in lines if line.strip()]
    except (orjson.JSONDecodeError, TypeError) as error:
        raise WorldError(f"{file} is not a history of evaluations: {error}") from None
    if not all(isinstance(run.report, dict) and run.report.keys() >= set(_BESIDE) for run in runs):
        raise WorldError(f"{file} is not a history of evaluations: a run lacks one of {', '.join(_BESIDE)}")
    if not runs:
        raise WorldError(f"{file} has no runs; add one with `memewax eval … --save`")
    return runs


def compare(runs: Sequence[SavedRun]) -> list[Comparison]:
    """Compare the last two runs of each group."""
    groups: dict[tuple[str, ...], list[SavedRun]] = {}
    for run in runs:
        groups.setdefault(run.group, []).append(run)
    return [_comparison(*([None, *members][-2:])) for members in groups.values()]


def _comparison(before: SavedRun | None, last: SavedRun | None) -> Comparison:
    assert last is not None, "expected at least one run per group"
    changes = [
        Change(figure, before.figures[figure], value, _beyond(figure, before, last))
        for figure, value in last.figures.items()
        if before is not None and figure in before.figures
    ]
    return Comparison(last, before, tuple(changes))


def _beyond(figure: str, before: SavedRun, last: SavedRun) -> bool:
    pairs = ((before.interval(figure), last.figures[figure]), (last.interval(figure), before.figures[figure]))
    return all(interval is not None and not interval[0] <= value <= interval[1] for interval, value in pairs)


def _numbers(tree: Mapping[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    for name, it in tree.items():
        if isinstance(it, dict):
            found += _numbers(it, f"{prefix}{name}.")
        elif isinstance(it, int | float) and not isinstance(it, bool):
            found.append((prefix + name, float(it)))
    return found

"""Reports and comparisons as tables for a terminal."""

from typing import Final

from rich import box
from rich.table import Table
from rich.text import Text

from memewax.evaluation.figures import Report
from memewax.evaluation.history import Change, Comparison

_COUNTED: Final = ("clusters", "templates")
"""Figures that are whole numbers."""


def report_table(report: Report) -> Table:
    """One row a figure, with its interval."""
    models = ", ".join(f"{stage}: {name}" for stage, name in report.models.items())
    made = _table(f"{report.kind}, n = {report.n}", models, "figure", "value", "95 % interval")
    for name, figure in report.figures.items():
        spread = f"{figure.interval[0]:.3f} to {figure.interval[1]:.3f}" if figure.interval else ""
        made.add_row(_spoken(name), _number(name, figure.value), spread)
    if report.failures:
        made.add_row(Text("failures", style="yellow"), str(len(report.failures)), "")
    return made


def comparison_table(comparison: Comparison) -> Table:
    """One row a figure; marked where the difference is beyond what the choice of items makes."""
    last, before = comparison.last, comparison.before
    title = f"{', '.join(last.group)}: {last.time}" + (f" after {before.time}" if before else ", the only run")
    models = ", ".join(
        f"{stage}: {name}" + (f" (was {was})" if before and (was := before.report["models"].get(stage)) != name else "")
        for stage, name in last.report["models"].items()
    )
    made = _table(title, models, "figure", "before", "last", "change")
    for change in comparison.changes:
        made.add_row(
            _spoken(change.figure),
            *(_number(change.figure, it) for it in (change.before, change.after)),
            _difference(change),
        )
    if before is None:
        for name, value in last.figures.items():
            made.add_row(_spoken(name), "", _number(name, value), "")
    return made


def _table(title: str, caption: str, name: str, *numbers: str) -> Table:
    made = Table(
        title=Text(title),
        caption=Text(caption),
        title_justify="left",
        caption_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    made.add_column(name)
    for number in numbers:
        made.add_column(number, justify="right")
    return made


def _spoken(name: str) -> str:
    return name.replace(".", ", ")


def _number(name: str, value: float) -> str:
    return str(int(value)) if name.endswith(_COUNTED) else f"{value:.3f}"


def _difference(change: Change) -> Text:
    return Text(f"{change.after - change.before:+.3f}", style="bold" if change.beyond else "dim")

"""Terminal tables of reports and comparisons."""

import math
from typing import Final

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from memewax.evaluation.history import Change, Comparison
from memewax.evaluation.measures import Report

_COUNTED: Final = ("clusters", "templates", "singletons")
"""Endings of the names of figures that are integers."""


def report_table(report: Report) -> RenderableType:
    """Make a table of a report: one row per figure, with its interval."""
    made = _table("figure", "value", report.intervals_are)
    for name, figure in report.figures.items():
        spread = " to ".join(f"{it:.3f}" for it in figure.interval or () if not math.isnan(it))
        made.add_row(_spoken(name), _number(name, figure.value), spread)
    if report.failures:
        made.add_row(Text("failures", style="yellow"), str(len(report.failures)), "")
    models = ", ".join(f"{stage}: {name}" for stage, name in report.models.items())
    return _titled(f"{report.kind}, n = {report.n}", made, models)


def comparison_table(comparison: Comparison) -> RenderableType:
    """Make a table of a comparison: one row per figure, with significant changes (`Change.beyond`) in bold."""
    last, before = comparison.last, comparison.before
    title = f"{', '.join(last.group)}: {last.time}" + (f" after {before.time}" if before else ", the only run")
    models = ", ".join(
        f"{stage}: {name}" + (f" (was {was})" if before and (was := before.report["models"].get(stage)) != name else "")
        for stage, name in last.report["models"].items()
    )
    if before is None:
        made = _table("figure", "value")
        for name, value in last.figures.items():
            made.add_row(_spoken(name), _number(name, value))
        return _titled(title, made, models)
    made = _table("figure", "before", "last", "change")
    for change in comparison.changes:
        made.add_row(
            _spoken(change.figure),
            *(_number(change.figure, it) for it in (change.before, change.after)),
            _difference(change),
        )
    return _titled(title, made, models)


def _titled(title: str, table: Table, caption: str) -> RenderableType:
    """Add a title and a caption; as the table's own title, it would be wrapped at the width of the table."""
    return Group(Text(title, style="bold"), table, Text(caption, style="dim italic"), "")


def _table(name: str, *numbers: str) -> Table:
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    made.add_column(name)
    for number in numbers:
        made.add_column(number, justify="right")
    return made


def _spoken(name: str) -> str:
    return name.replace(".", ", ")


def _number(name: str, value: float) -> str:
    if math.isnan(value):
        return "not defined"
    return str(round(value)) if name.endswith(_COUNTED) else f"{value:.3f}"


def _difference(change: Change) -> Text:
    return Text(f"{change.after - change.before:+.3f}", style="bold" if change.beyond else "dim")

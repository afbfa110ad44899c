"""A report as a table for a terminal."""

from rich import box
from rich.table import Table

from memewax.evaluation.figures import Report


def table(report: Report) -> Table:
    """One row a figure, with its interval."""
    models = ", ".join(f"{stage} {name}" for stage, name in report.models.items())
    made = Table(
        title=f"{report.kind}, n = {report.n}",
        caption=models,
        title_justify="left",
        caption_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    made.add_column("figure")
    made.add_column("value", justify="right")
    made.add_column("95 % interval", justify="right")
    for name, figure in report.figures.items():
        spread = f"{figure.interval[0]:.3f} to {figure.interval[1]:.3f}" if figure.interval else ""
        made.add_row(name.replace(".", ", "), f"{figure.value:.3f}", spread)
    return made

"""`memewax eval`: measure the quality of the models on labelled data; one command for each stage's evaluation."""

import sys
from importlib import import_module

import orjson
import typer
from rich.console import Console

from core.extras import needs_extra
from memewax.evaluation.evaluation_options import HistoryOption, JsonOption
from models.stages import evaluations

_MEASURED = needs_extra("eval", "memewax eval")

app = typer.Typer(no_args_is_help=True, help="Measure the quality of the configured models on labelled data.")

for _name in (*evaluations(), "search"):
    # These modules import measures and models late: other commands do not need them.
    app.command(_name)(_MEASURED(import_module(f"memewax.evaluation.measure_{_name}").command))


@app.command()
@_MEASURED
def compare(history: HistoryOption = None, as_json: JsonOption = False) -> None:
    """Compare the last saved run of each kind with the one before, on the same data with the same options."""
    from memewax.evaluation.history import compare, history_file, load
    from memewax.evaluation.result_tables import comparison_table

    found = compare(load(history or history_file()))
    if as_json:
        sys.stdout.write(orjson.dumps([it.to_dict() for it in found]).decode() + "\n")
        return
    console = Console()
    for comparison in found:
        console.print(comparison_table(comparison))

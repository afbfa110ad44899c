"""The command `memewax eval entities`."""

from typing import Annotated, Literal

import typer

from dataflows.all_settings import load_settings
from memewax.evaluation.evaluation_options import DataOption, HistoryOption, JsonOption, LimitOption, SaveOption, show

_Casing = Literal["as-is", "upper", "lower"]

# Measures and models are imported late, since they import more than other commands need.


def command(
    data: DataOption,
    limit: LimitOption = None,
    casing: Annotated[_Casing, typer.Option(help="Show the texts to the model in this case.")] = "as-is",
    line_width: Annotated[
        int | None, typer.Option(min=1, help="Wrap the texts into lines of this many letters.")
    ] = None,
    save: SaveOption = False,
    history: HistoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure F1 of the spans of named entities, regardless of type and with their kind."""
    from memewax.evaluation import eval_entities as entities
    from memewax.evaluation.data import lines_of
    from models.loading import load_entities
    from models.runtime import Runtime

    lines = lines_of(data, "text", "entities", limit=limit)
    settings = load_settings()
    model = load_entities(settings, Runtime.of(settings))
    show(entities.measure(lines, model, casing=casing, width=line_width), data, save, history, as_json)

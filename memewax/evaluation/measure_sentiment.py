"""The command `memewax eval sentiment`."""

from typing import Annotated

import typer

from dataflows.all_settings import load_settings
from memewax.evaluation.evaluation_options import DataOption, HistoryOption, JsonOption, LimitOption, SaveOption, show

# Measures and models are imported late, since they import more than other commands need.


def command(
    data: DataOption,
    limit: LimitOption = None,
    noise: Annotated[float, typer.Option(min=0, max=1, help="OCR errors per character to add to the texts.")] = 0.0,
    save: SaveOption = False,
    history: HistoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure recall, averaged over negative, neutral and positive, and correlation with human ratings."""
    from memewax.evaluation import eval_sentiment as sentiment
    from models.loading import load_sentiment
    from models.runtime import Runtime

    lines = sentiment.texts_with_mood(data, limit)
    settings = load_settings()
    model = load_sentiment(settings, Runtime.of(settings))
    report = sentiment.measure(lines, model, by_compound=settings.sentiment == "vader", noise=noise)
    show(report, data, save, history, as_json)

"""The command `memewax eval similarity`."""

from dataflows.all_settings import load_settings
from memewax.evaluation.evaluation_options import DataOption, HistoryOption, JsonOption, LimitOption, SaveOption, show

# Measures and models are imported late, since they import more than other commands need.


def command(
    data: DataOption,
    limit: LimitOption = None,
    save: SaveOption = False,
    history: HistoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure the correlation of the cosine of two sentences with human scores."""
    from memewax.evaluation import eval_similarity as similarity
    from memewax.evaluation.data import lines_of
    from models.loading import load_text
    from models.runtime import Runtime

    lines = lines_of(data, "a", "b", "score", limit=limit)
    settings = load_settings()
    show(similarity.measure(lines, load_text(settings, Runtime.of(settings))), data, save, history, as_json)

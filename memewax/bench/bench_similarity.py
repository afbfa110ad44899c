"""`memewax bench similarity`: how long an answer takes, alone and under load, and how right it is."""

import sys
from pathlib import Path
from typing import Annotated

import orjson
import typer

from dataflows.all_settings import load_settings


def similarity(
    store: Annotated[Path | None, typer.Option(help="Folder of the store with the corpus.")] = None,
    corpus: Annotated[str | None, typer.Option(help="Corpus whose rows are asked and made into a million.")] = None,
    brokers: Annotated[str | None, typer.Option(help="HOST:PORT of a Kafka broker, to measure end to end.")] = None,
    million: Annotated[bool, typer.Option(help="Also measure among synthetic rows.")] = True,
    rows: Annotated[int, typer.Option(min=100, help="How many synthetic rows.")] = 1_000_000,
    queries: Annotated[int, typer.Option("--queries", "-n", min=2, help="Questions a run.")] = 300,
    runs: Annotated[int, typer.Option(min=1, help="Runs; the median counts.")] = 3,
    rate: Annotated[float, typer.Option(min=1, help="Questions a second, under load.")] = 150,
    seconds: Annotated[float, typer.Option(min=0.5, help="Of each run under load.")] = 10,
    in_flight: Annotated[int, typer.Option(min=1, help="Questions on their way at once, for the highest rate.")] = 64,
    processes: Annotated[int, typer.Option(min=1, help="Processes of the flow.")] = 1,
    plot_to: Annotated[
        Path | None, typer.Option("--plot", help="Also measure DuckDB and LanceDB by dimensions; a .svg or .png.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object in one line.")] = False,
) -> None:
    """Ask a corpus, and a million synthetic rows made from it: search alone, end to end over Kafka, and recall."""
    given = {"store": store, "corpus": corpus}
    settings = load_settings(**{name: value for name, value in given.items() if value is not None})
    from memewax.bench.bench_measuring import MeasuringPlan, measure  # seconds to import

    plan = MeasuringPlan(
        queries=queries,
        runs=runs,
        rate=rate,
        seconds=seconds,
        in_flight=in_flight,
        processes=processes,
        synthetic=rows if million else 0,
        brokers=brokers,
        plot=plot_to,
    )
    report = measure(settings, plan)
    sys.stdout.write(orjson.dumps(report, option=0 if as_json else orjson.OPT_INDENT_2).decode() + "\n")

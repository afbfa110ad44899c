"""`memewax bench similarity`: latency of similarity search, idle and under load, and its recall."""

import sys
from pathlib import Path
from typing import Annotated

import orjson
import typer

from dataflows.all_settings import load_settings


def similarity(
    store: Annotated[Path | None, typer.Option(help="Folder of the store with the corpus.")] = None,
    corpus: Annotated[
        str | None, typer.Option(help="Corpus to search, and to generate the synthetic rows and the queries from.")
    ] = None,
    brokers: Annotated[str | None, typer.Option(help="HOST:PORT of a Kafka broker, to measure end to end.")] = None,
    million: Annotated[bool, typer.Option(help="Also search synthetic rows.")] = True,
    rows: Annotated[int, typer.Option(min=100, help="Number of synthetic rows.")] = 1_000_000,
    queries: Annotated[int, typer.Option("--queries", "-n", min=2, help="Number of queries per run.")] = 300,
    runs: Annotated[int, typer.Option(min=1, help="Number of runs, of which the median is reported.")] = 3,
    rate: Annotated[float, typer.Option(min=1, help="Queries per second, under load.")] = 150,
    seconds: Annotated[float, typer.Option(min=0.5, help="Duration of each run under load.")] = 10,
    in_flight: Annotated[
        int, typer.Option(min=1, help="Number of queries in flight, to measure the maximum throughput.")
    ] = 64,
    processes: Annotated[int, typer.Option(min=1, help="Number of processes of the flow.")] = 1,
    plot_to: Annotated[
        Path | None,
        typer.Option("--plot", help="Also compare DuckDB and LanceDB by dimension, and plot it to a .svg or .png."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object in one line.")] = False,
) -> None:
    """Search a corpus, and a million synthetic rows made from it: search alone, end to end over Kafka, and recall."""
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

"""`memewax bench models`: available engines against the exact one, for image model, text detector and recogniser."""

import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any, Final

import orjson
import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from core.extras import needs_extra
from dataflows.all_settings import load_settings
from memewax.bench.machine import machine
from models.engine import Device
from models.engine_choice import EnginePart, Trial, try_all
from models.engines import plans
from models.ocr.ocr_engines import ocr_parts
from models.runtime import Runtime
from models.trial_images import trial_images
from models.vit_engines import image_part
from models.weights import image_weights

_NOTE: Final = (
    "Milliseconds per image: median and range. Speed: times as fast as the exact engine. Differs from its results: "
    "for the image model 1 - cosine similarity of the worst image, for the detector the share of text pixels, for the "
    "recogniser the share of characters; an engine above the limit is not used."
)


@needs_extra("bench", "memewax bench models")
def models(
    runs: Annotated[int, typer.Option(min=1, help="Interleaved runs of each engine.")] = 7,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Time each engine on this machine, in each precision, and compare its results with those of the exact engine."""
    settings = load_settings()
    runtime = Runtime.of(settings)
    parts = [image_part(image_weights(settings), settings, runtime), *ocr_parts(settings, runtime)]
    measured = {part.name: (part, _measured(part, runtime.device, runs)) for part in parts}
    if as_json:
        found = {name: [_figures(it) for it in trials] for name, (_, trials) in measured.items()}
        report = {"parts": found, "images": len(trial_images()), "n": runs, "machine": machine()}
        sys.stdout.write(orjson.dumps(report).decode() + "\n")
    else:
        _print(measured, runs)


def _print(measured: Mapping[str, tuple[EnginePart, Sequence[Trial]]], runs: int) -> None:
    """Print a table for people, and below it the engines that cannot be used, with the reasons."""
    console = Console(highlight=False)
    console.print(_table(measured))
    console.print(Text(_NOTE))
    here = machine()
    console.print(
        Text(f"{len(trial_images())} images, {runs} runs in turns, {here['cores']} cores: {here['processor']}")
    )
    for name, (_, trials) in measured.items():
        for it in trials:
            if it.refused:
                console.print(Text(f"{name} by {it.plan}: {it.refused}"))


def _measured(part: EnginePart, device: Device, runs: int) -> tuple[Trial, ...]:
    available = set(plans(device))
    return try_all(part, [plan for plan in part.others if plan in available], runs)


def _figures(trial: Trial) -> dict[str, Any]:
    each = [took / len(trial_images()) for took in trial.milliseconds]
    return {
        **asdict(trial.plan),
        "milliseconds": round(statistics.median(each), 2) if each else None,
        "range": [round(min(each), 2), round(max(each), 2)] if each else None,
        "differs": trial.apart,
        "refused": trial.refused or None,
    }


def _table(measured: Mapping[str, tuple[EnginePart, Sequence[Trial]]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)  # no wider than 80 columns
    for column in ("part", "engine", "ms", "range", "speed", "differs", "limit"):
        table.add_column(column, justify="left" if column in {"part", "engine"} else "right", no_wrap=True)
    for name, (part, trials) in measured.items():
        exact = _figures(trials[0])["milliseconds"]
        for trial in trials:
            found = _figures(trial)
            took, spread = found["milliseconds"], found["range"]
            table.add_row(
                name,
                str(trial.plan),
                "-" if took is None else f"{took:.1f}",
                "" if spread is None else f"{spread[0]:.1f} to {spread[1]:.1f}",
                "" if took is None else f"{exact / took:.2f}",
                "" if trial.apart is None else f"{trial.apart:.2g}",
                f"{part.tolerance:g}",
                style="dim" if trial.refused else None,
            )
        table.add_section()
    return table

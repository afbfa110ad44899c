"""`memewax bench ocr`: OCR pipelines against stock EasyOCR, interleaved image by image in one process."""

import os
import platform
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any, Final, get_args

import numpy as np
import orjson
import typer
from rich.console import Console
from rich.table import Table

from core.errors import SettingsError
from core.extras import needs_extra
from core.records import Failure, Pixels, Reading
from dataflows.all_settings import Settings, load_settings
from models.base import Model

STOCK: Final = "stock"
"""Name of EasyOCR with its default settings, the baseline."""
ARRANGEMENTS: Final[tuple[str, ...]] = get_args(Settings.model_fields["ocr"].annotation)
_PACKAGES: Final = ("easyocr", "jiwer", "onnxruntime", "opencv-python-headless", "rapidocr", "torch")


@dataclass(frozen=True, slots=True)
class OcrSample:
    """An image and its ground-truth text."""

    image: Pixels
    expected: str


@dataclass(frozen=True, slots=True)
class OcrAnswer:
    """Text that one OCR pipeline read in one image, empty if it failed, and the time that it took."""

    text: str
    seconds: float


@needs_extra("bench", "memewax bench ocr")
def ocr(
    data: Annotated[Path, typer.Option("--data", help="A JSONL file of posts with ground truth, or its folder.")],
    limit: Annotated[int | None, typer.Option(min=1, help="Use only the first N images.")] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME or NAME@CANVAS of a pipeline to compare with stock EasyOCR; may be repeated. By default all."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure error rates and time of every OCR pipeline and of stock EasyOCR, interleaved image by image."""
    # Imported first, so that a missing package is reported before the measurement, not after.
    from memewax.evaluation.progress_bar import Steps
    from memewax.evaluation.texts import count, rates

    settings = load_settings()
    each = {name: _set(name, settings) for name in only or ARRANGEMENTS}
    samples = _samples(data, limit, settings)
    readers = _readers(each, settings)
    with Steps("reading", len(samples)) as steps:
        answers = []
        for turn in measure(readers, samples):
            answers.append(turn)
            steps.advance(1)
    figures = _figures(samples, answers, lambda truths, texts: rates(count(truths, texts)))
    if as_json:
        report = {"ocr": figures, "n": len(samples), "machine": _machine(settings)}
        sys.stdout.write(orjson.dumps(report).decode() + "\n")
    else:
        Console().print(_table(figures, len(samples)))


def measure(
    readers: Mapping[str, Model[Pixels, Reading]], samples: Sequence[OcrSample]
) -> Iterator[dict[str, OcrAnswer]]:
    """Yield each reader's answer, image by image. The reader that goes first rotates.

    So drift of the machine affects all readers alike. As warm-up, every reader first reads one image, untimed.
    """
    for reader in readers.values():
        reader([samples[0].image])
    names = list(readers)
    for number, sample in enumerate(samples):
        first = number % len(names)
        turn = {name: _read(readers[name], sample.image) for name in names[first:] + names[:first]}
        yield {name: turn[name] for name in names}


def _read(reader: Model[Pixels, Reading], image: Pixels) -> OcrAnswer:
    began = perf_counter()
    (found,) = reader([image])
    seconds = perf_counter() - began
    return OcrAnswer("" if isinstance(found, Failure) else found.as_read, seconds)


def _samples(data: Path, limit: int | None, settings: Settings) -> list[OcrSample]:
    # Imported late, because the metrics load more than other commands need.
    from memewax.evaluation.data import image_of, posts_of

    images = ((image_of(known, settings), str(known.truth)) for known in posts_of(data, "text"))
    readable = (OcrSample(image, truth) for image, truth in images if not isinstance(image, Failure))
    return list(islice(readable, limit))


def _set(name: str, settings: Settings) -> Settings:
    """Return the settings for NAME or NAME@CANVAS; raises `SettingsError` if it is neither."""
    arrangement, at, canvas = name.partition("@")
    if arrangement not in ARRANGEMENTS or (at and not canvas.isdecimal()):
        raise SettingsError(f"--only {name} is not NAME or NAME@CANVAS, where NAME is one of {', '.join(ARRANGEMENTS)}")
    return load_settings(ocr=arrangement, ocr_canvas=int(canvas) if at else settings.ocr_canvas)


def _readers(each: Mapping[str, Settings], settings: Settings) -> dict[str, Model[Pixels, Reading]]:
    from models.ocr.arrangement import load_reader
    from models.ocr.stock import StockEasyOcr
    from models.runtime import Runtime

    runtime = Runtime.of(settings)

    return {STOCK: StockEasyOcr(settings, runtime), **{name: load_reader(each[name], runtime) for name in each}}


def _figures(
    samples: Sequence[OcrSample],
    answers: Sequence[Mapping[str, OcrAnswer]],
    rates: Callable[[Sequence[str], Sequence[str]], dict[str, float]],
) -> dict[str, dict[str, Any]]:
    figures: dict[str, dict[str, Any]] = {}
    for name in answers[0]:
        times = [turn[name].seconds for turn in answers]
        found = rates([sample.expected for sample in samples], [turn[name].text for turn in answers])
        figures[name] = {**found, "seconds_per_image": _spread(times)}
    stock = figures[STOCK]
    for figure in figures.values():
        figure["wer_of_stock"] = figure["wer"] / stock["wer"] if stock["wer"] else None
        figure["time_of_stock"] = figure["seconds_per_image"]["mean"] / stock["seconds_per_image"]["mean"]
    return figures


def _spread(times: Sequence[float]) -> dict[str, float]:
    low, middle, high = np.percentile(times, (25, 50, 75)).tolist()
    return {"mean": statistics.fmean(times), "median": middle, "lower_quartile": low, "upper_quartile": high}


def _machine(settings: Settings) -> dict[str, Any]:
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": settings.threads_per_model,
        "device": settings.device,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
    }


def _table(figures: Mapping[str, Mapping[str, Any]], n: int) -> Table:
    table = Table(caption=f"{n} images; case and punctuation are ignored", caption_justify="left")
    for column in ("", "CER", "WER", "word F1", "s/image", "median", "WER / stock", "time / stock"):
        table.add_column(column, justify="right" if column else "left")
    for name, found in figures.items():
        seconds = found["seconds_per_image"]
        of_stock = "-" if found["wer_of_stock"] is None else f"{found['wer_of_stock']:.2f}"
        table.add_row(
            name,
            *(f"{found[figure]:.3f}" for figure in ("cer", "wer", "word_f1")),
            *(f"{seconds[figure]:.2f}" for figure in ("mean", "median")),
            of_stock,
            f"{found['time_of_stock']:.2f}",
        )
    return table

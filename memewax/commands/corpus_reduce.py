"""`memewax corpus reduce`: reduce the dimension of a corpus's embeddings and measure the loss of recall."""

import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import orjson
import typer

from core.errors import SettingsError, WorldError
from dataflows.all_settings import Settings, load_settings
from memewax.commands.corpus_output import AsJson, Name, StoreOption, bar, print_rows, store_of, write_json


class ReductionMethod(StrEnum):
    """How embeddings are projected to fewer dimensions."""

    pca = "pca"
    trained = "trained"


def reduce(
    name: Name,
    dims: Annotated[int, typer.Option(min=2, help="Dimension of the reduced vectors.")] = 150,
    method: Annotated[
        ReductionMethod, typer.Option(help="PCA, or a dense layer trained to keep neighbours.")
    ] = ReductionMethod.trained,
    sts: Annotated[
        Path | None,
        typer.Option(
            help="JSONL of sentence pairs with a, b and score, for the rank correlation with human judgement."
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Training epochs.")] = 12,
    store: StoreOption = None,
    as_json: AsJson = False,
) -> None:
    """Project a corpus's embeddings to fewer dimensions, and report recall against the full embeddings."""
    from models.runtime import Runtime
    from search.corpus import Corpus
    from search.corpus_store import corpus_folder
    from search.corpus_table import lock_corpus
    from search.reduction import pca
    from search.reduction_evaluation import Split
    from search.reduction_training import TrainingPlan, train

    settings = load_settings()
    folder = store_of(store)
    corpus = Corpus.open(folder, name)
    split = Split.of(corpus.index.vectors[corpus.index.live])
    if len(split.train) <= dims or corpus.dimension <= dims or not len(split.test):
        raise SettingsError(
            f"a projection to {dims} dimensions needs embeddings of more dimensions and more rows: {name!r} has "
            f"{corpus.dimension} dimensions and {len(split.train)} rows to learn from"
        )
    judged = None if sts is None else _judged(sts, settings)
    report: dict[str, Any] = {"corpus": name, "model": corpus.model, "rows": len(split.train), "methods": {}}
    start = time.perf_counter()
    made = [pca(split.train, dims, corpus.model)]
    seconds = [time.perf_counter() - start]
    if method is ReductionMethod.trained:
        runtime = Runtime.of(settings)
        start = time.perf_counter()
        with bar(f"training {name}", epochs) as move:
            made.append(
                train(
                    split.train,
                    split.choose,
                    dims,
                    corpus.model,
                    runtime,
                    TrainingPlan(epochs),
                    lambda epoch: move(epoch.number, f"loss {epoch.loss:.4f}, recall@10 {epoch.recall_at_10:.4f}"),
                )
            )
        seconds.append(time.perf_counter() - start)
    for projection, took in zip(made, seconds, strict=True):
        recall = split.recall(projection)
        spearman = None if judged is None else judged.spearman(projection)
        measured = {"recall_at_1": recall.at_1, "recall_at_10": recall.at_10, "spearman": spearman, "seconds": took}
        report["methods"][projection.name] = measured | {"queries": recall.queries} | projection.facts
        projection.facts.update(measured)
    whole = {"recall_at_1": 1.0, "recall_at_10": 1.0, "spearman": None if judged is None else judged.spearman()}
    report["methods"]["full"] = whole
    with lock_corpus(folder, name):
        made[-1].save(corpus_folder(folder, name))
    report["saved"] = made[-1].name
    if as_json:
        write_json(report)
        return
    if method is ReductionMethod.trained:
        epoch_facts = made[-1].facts["epochs"]
        print_rows(["epoch", "loss", "recall@1", "recall@10"], [_rounded(epoch.values()) for epoch in epoch_facts])
    columns = ("recall_at_1", "recall_at_10", "spearman", "seconds")
    rows = [[kind, *_rounded(facts.get(it) for it in columns)] for kind, facts in report["methods"].items()]
    print_rows(["vectors", "recall@1", "recall@10", "Spearman", "seconds"], rows)
    print(f"memewax: saved {made[-1].name} in {corpus_folder(folder, name)}", file=sys.stderr)


def _judged(path: Path, settings: Settings) -> Any:
    """Read and embed the sentence pairs of a file; raises `WorldError` if it cannot be read as such."""
    from models.loading import load_text
    from models.runtime import Runtime
    from search.reduction_evaluation import Judged

    try:
        rows = [orjson.loads(line) for line in path.read_bytes().splitlines() if line.strip()]
        first, second = [str(row["a"]) for row in rows], [str(row["b"]) for row in rows]
        scores = np.array([float(row["score"]) for row in rows], np.float32)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WorldError(f"{path}: expected JSON lines with a, b and score: {error}") from None
    model = load_text(settings, Runtime.of(settings))
    texts = sorted({*first, *second}, key=len)
    vectors = dict(zip(texts, model(texts), strict=True))
    return Judged(np.array([vectors[it] for it in first]), np.array([vectors[it] for it in second]), scores)


def _rounded(values: Any) -> list[Any]:
    return [f"{value:.4f}" if isinstance(value, float) else "" if value is None else value for value in values]

"""Settings of the models: the runtime, and the name of each model."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from core.settings import DeleteSettings, Group
from models.engines import engine_names, graph_engine_names


def _auto_or(names: tuple[str, ...]) -> AfterValidator:
    def check(value: str) -> str:
        if value not in ("auto", *names):
            raise ValueError(f"expected auto or one of {', '.join(names)}")
        return value

    return AfterValidator(check)


AnyEngine = Annotated[str, _auto_or(engine_names())]
"""Name of an engine, or auto."""
AnyGraphEngine = Annotated[str, _auto_or(graph_engine_names())]
"""Name of an engine that runs ONNX graphs, or auto."""


class CacheSettings(Group):
    """The cache of files derived from weights."""

    models_cache: Path | None = Field(
        None, description="Folder for files derived from weights; by default in the user's cache folder."
    )


class RuntimeSettings(Group):
    """The runtime: processes, device, threads, precision; and whether models are real or fake."""

    processes: int = Field(1, ge=1, le=256, description="Processes of the flow on this machine; they share its cores.")

    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Device that runs models; auto: cuda if available, else cpu."
    )

    threads: int = Field(0, ge=0, le=1024, description="Threads per model on the CPU; 0: cores divided by processes.")

    models: Literal["real", "fake"] = Field(
        "real", description="real, or fake: models that return fixed results at once, to measure the flow itself."
    )

    provider: AnyGraphEngine = Field(
        "auto", description="Engine that runs ONNX graphs (OCR, sentence embeddings); auto: ONNX Runtime (onnx)."
    )

    precision: Literal["auto", "exact", "fp32", "bf16", "int8"] = Field(
        "auto",
        description="Precision of the image model and OCR; auto: the fastest one here whose results agree with exact, by a trial at the first start.",
    )

    @property
    def threads_per_model(self) -> int:
        """Return the threads of each model on the CPU."""
        return self.threads or max(1, (os.cpu_count() or 1) // self.processes)


class ImageSettings(CacheSettings):
    """The image model."""

    vit: str = Field("dinov2-small", description="Image model: dinov2-small, a folder, or a Hugging Face id.")

    vit_batch: int = Field(
        0,
        ge=0,
        le=1024,
        description="Images per batch; 0: 8 on a CPU, which larger batches do not help, and 64 on a GPU.",
    )


class OcrSettings(Group):
    """OCR."""

    ocr: Literal["ppocr", "easyocr", "ppocr+easyocr", "easyocr+ppocr"] = Field(
        "ppocr", description="OCR engine; of two names, the first detects text and the second recognises it."
    )

    ocr_weights: str = Field(
        "", description="Folder with the weights of the OCR engine; empty: those of the installed wheel."
    )

    ocr_canvas: int = Field(
        960,
        ge=128,
        le=4096,
        description="Longest side of the text detector's input in pixels; time grows with its square.",
    )


class EntitySettings(Group):
    """The named-entity recogniser."""

    ner: str = Field(
        "en_core_web_sm",
        description="Named-entity recogniser: a spaCy pipeline (a package or a folder), or a transformers token "
        "classifier (a folder or a Hugging Face id), whose entities count from a score of 0.75.",
    )

    truecase: bool = Field(
        True, description="Restore the case of text in capitals for the named-entity recogniser, which then finds more."
    )


class SentimentSettings(Group):
    """The sentiment model."""

    sentiment: str = Field(
        "vader",
        description="Sentiment model: vader, or a transformers text classifier (a folder or a Hugging Face id).",
    )


class TextSettings(CacheSettings):
    """The sentence embedder."""

    text_model: str = Field(
        "all-MiniLM-L6-v2", description="Sentence embedder: a name, a folder, or a Hugging Face id."
    )

    text_engine: AnyEngine = Field(
        "auto",
        description="Engine of the sentence embedder; auto: on a CPU the provider (ONNX Runtime), by a graph that is exported once, else torch.",
    )

    text_batch: int = Field(32, ge=1, le=4096, description="Texts per batch.")


class ModelSettings(TextSettings, SentimentSettings, EntitySettings, OcrSettings, ImageSettings, RuntimeSettings):
    """The settings of all models of a flow."""


class ClusterSettings(RuntimeSettings, DeleteSettings):
    """The clusterer."""

    clusterer: Literal[
        "verified",
        "relevant",
        "dbstream",
        "river-clustream",
        "river-dbstream",
        "river-denstream",
        "river-kmeans",
        "river-streamkmeans",
    ] = Field("verified", description="Clustering algorithm; verified measures best, the others are for comparison.")

    clusterer_parameters: dict[str, int | float] = Field(
        default_factory=dict, description="Parameters of the clusterer as JSON; the defaults suit DINOv2."
    )

    cluster_log: Path | None = Field(
        None,
        description="Folder of files for exemplars and fingerprints, so that snapshots stay small; by default `clusters` "
        "in the recovery folder.",
    )

    cluster_shards: int = Field(
        1,
        ge=1,
        le=64,
        description="Clusterers that learn in parallel, for more workers; fixed for the life of a recovery folder.",
    )

"""Load the models of the settings, all together or one alone. Importing this module is cheap, loading is not."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from core.records import Entity, Pixels, Reading, Sentiment
from models.base import Embedder, ImageEmbedder, Model
from models.model_settings import ModelSettings
from models.runtime import Runtime
from models.stages import MODEL_STAGES, stage


class Models:
    """The models of all stages that have one."""

    def __init__(self, *models: Model[Any, Any]) -> None:
        self._by_stage = {model.stage: model for model in models}

    @property
    def names(self) -> dict[str, str]:
        """Return the model's name by stage."""
        return {stage: model.name for stage, model in self._by_stage.items()}

    def of(self, stage: str) -> Any:
        """Return the model of a stage."""
        return self._by_stage[stage]

    @property
    def image(self) -> ImageEmbedder:
        """Return the image embedder."""
        model: ImageEmbedder = self.of("embedding")
        return model

    @property
    def ocr(self) -> Model[Pixels, Reading]:
        """Return the OCR model."""
        model: Model[Pixels, Reading] = self.of("text")
        return model

    @property
    def entities(self) -> Model[str, tuple[Entity, ...]]:
        """Return the named-entity recogniser."""
        model: Model[str, tuple[Entity, ...]] = self.of("entities")
        return model

    @property
    def sentiment(self) -> Model[str, Sentiment]:
        """Return the sentiment model."""
        model: Model[str, Sentiment] = self.of("sentiment")
        return model

    @property
    def text(self) -> Embedder[str]:
        """Return the sentence embedder."""
        model: Embedder[str] = self.of("text_embedding")
        return model

    @property
    def image_dimension(self) -> int:
        """Return the embedding dimension of images."""
        return self.image.dimension

    @property
    def text_dimension(self) -> int:
        """Return the embedding dimension of texts."""
        return self.text.dimension

    @property
    def dimensions(self) -> dict[str, int]:
        """Return the embedding dimension by stage, for the stages with embedders."""
        return {name: it.dimension for name, it in self._by_stage.items() if isinstance(it, Embedder)}

    @property
    def embedders(self) -> dict[str, str]:
        """Return the model's name by stage, for the stages with embedders."""
        return {name: it.name for name, it in self._by_stage.items() if isinstance(it, Embedder)}

    def engines(self) -> list[tuple[str, str, str]]:
        """Return the stage, name and engine of each model."""
        return [(stage, it.name, it.engine) for stage, it in self._by_stage.items()]


def load_models(settings: ModelSettings) -> Models:
    """Load the models of all stages in parallel, so that hashing and reading of weights overlap; once per process.

    Real models take some seconds and about 1 GB.

    Raises:
        WeightsError: If weights are missing or differ from the pinned ones.
        WorldError: If the device of the settings is not available.
    """
    runtime = Runtime.of(settings)
    with ThreadPoolExecutor(len(MODEL_STAGES), "load") as pool:
        return Models(*pool.map(lambda it: it.load(settings, runtime), MODEL_STAGES))


# Each of these loads one model and raises `WeightsError` as `load_models` does.


def load_image(settings: ModelSettings, runtime: Runtime) -> ImageEmbedder:
    """Load the image embedder."""
    model: ImageEmbedder = stage("embedding").load(settings, runtime)
    return model


def load_ocr(settings: ModelSettings, runtime: Runtime) -> Model[Pixels, Reading]:
    """Load OCR."""
    model: Model[Pixels, Reading] = stage("text").load(settings, runtime)
    return model


def load_entities(settings: ModelSettings, runtime: Runtime) -> Model[str, tuple[Entity, ...]]:
    """Load the named-entity recogniser."""
    model: Model[str, tuple[Entity, ...]] = stage("entities").load(settings, runtime)
    return model


def load_sentiment(settings: ModelSettings, runtime: Runtime) -> Model[str, Sentiment]:
    """Load the sentiment model."""
    model: Model[str, Sentiment] = stage("sentiment").load(settings, runtime)
    return model


def load_text(settings: ModelSettings, runtime: Runtime) -> Embedder[str]:
    """Load the sentence embedder."""
    model: Embedder[str] = stage("text_embedding").load(settings, runtime)
    return model

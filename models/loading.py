"""The models of a flow, together or one alone, as the settings say; importing this is cheap, calling it is not."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from core.records import Entity, Pixels, Reading, Sentiment
from models.base import Embedder, ImageEmbedder, Model
from models.model_settings import ModelSettings
from models.runtime import Runtime
from models.stages import MODEL_STAGES, stage


class Models:
    """One model for each stage that a model answers for."""

    def __init__(self, *models: Model[Any, Any]) -> None:
        self._by_stage = {model.stage: model for model in models}

    @property
    def names(self) -> dict[str, str]:
        """Name of the model of each stage."""
        return {stage: model.name for stage, model in self._by_stage.items()}

    def of(self, stage: str) -> Any:
        """The model of this stage."""
        return self._by_stage[stage]

    @property
    def image(self) -> ImageEmbedder:
        """What embeds images."""
        model: ImageEmbedder = self.of("embedding")
        return model

    @property
    def ocr(self) -> Model[Pixels, Reading]:
        """What reads images."""
        model: Model[Pixels, Reading] = self.of("text")
        return model

    @property
    def entities(self) -> Model[str, tuple[Entity, ...]]:
        """What finds names."""
        model: Model[str, tuple[Entity, ...]] = self.of("entities")
        return model

    @property
    def sentiment(self) -> Model[str, Sentiment]:
        """What judges the tone."""
        model: Model[str, Sentiment] = self.of("sentiment")
        return model

    @property
    def text(self) -> Embedder[str]:
        """What embeds texts."""
        model: Embedder[str] = self.of("text_embedding")
        return model

    @property
    def image_dimension(self) -> int:
        """Length of an image's vector."""
        return self.image.dimension

    @property
    def text_dimension(self) -> int:
        """Length of a text's vector."""
        return self.text.dimension

    @property
    def dimensions(self) -> dict[str, int]:
        """Length of the vectors of each stage whose answers are vectors."""
        return {name: it.dimension for name, it in self._by_stage.items() if isinstance(it, Embedder)}

    @property
    def embedders(self) -> dict[str, str]:
        """Name of the model of each stage whose answers are vectors."""
        return {name: it.name for name, it in self._by_stage.items() if isinstance(it, Embedder)}

    def told(self) -> list[tuple[str, str, str]]:
        """Of each model its stage, its name and the engine that runs it."""
        return [(stage, it.name, it.engine) for stage, it in self._by_stage.items()]


def load_models(settings: ModelSettings) -> Models:
    """Load the models of all stages, once a process, side by side: hashing and reading take no turns.

    Takes some seconds and about 1 GB for the real ones. Raises `WeightsError` if the weights of one are nowhere to be
    found or are not what was pinned, and `WorldError` if the device of the settings is not there.
    """
    runtime = Runtime.of(settings)
    with ThreadPoolExecutor(len(MODEL_STAGES), "load") as pool:
        return Models(*pool.map(lambda it: it.load(settings, runtime), MODEL_STAGES))


# Each of these loads one alone and raises `WeightsError` as `load_models` does.


def load_image(settings: ModelSettings, runtime: Runtime) -> ImageEmbedder:
    """The image model."""
    model: ImageEmbedder = stage("embedding").load(settings, runtime)
    return model


def load_ocr(settings: ModelSettings, runtime: Runtime) -> Model[Pixels, Reading]:
    """The reader of text in images."""
    model: Model[Pixels, Reading] = stage("text").load(settings, runtime)
    return model


def load_entities(settings: ModelSettings, runtime: Runtime) -> Model[str, tuple[Entity, ...]]:
    """The finder of named entities."""
    model: Model[str, tuple[Entity, ...]] = stage("entities").load(settings, runtime)
    return model


def load_sentiment(settings: ModelSettings, runtime: Runtime) -> Model[str, Sentiment]:
    """The judge of tone."""
    model: Model[str, Sentiment] = stage("sentiment").load(settings, runtime)
    return model


def load_text(settings: ModelSettings, runtime: Runtime) -> Embedder[str]:
    """The sentence model."""
    model: Embedder[str] = stage("text_embedding").load(settings, runtime)
    return model

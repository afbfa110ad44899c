"""The five models of a flow, together or one alone, as the settings say; importing this is cheap, calling it is not."""

from dataclasses import dataclass

from core.errors import WeightsError
from core.records import Entity, Pixels, Reading, Sentiment
from core.telemetry import log
from models.base import Embedder, Model
from models.model_settings import ModelSettings
from models.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Models:
    """One model for each side that a model answers for."""

    image: Embedder[Pixels]
    ocr: Model[Pixels, Reading]
    entities: Model[str, tuple[Entity, ...]]
    sentiment: Model[str, Sentiment]
    text: Embedder[str]

    @property
    def image_dimension(self) -> int:
        """Length of a picture's vector."""
        return self.image.dimension

    @property
    def text_dimension(self) -> int:
        """Length of a text's vector."""
        return self.text.dimension


def load_models(settings: ModelSettings) -> Models:
    """Load all five, once a process.

    Takes some seconds and about 1 GB for the real ones. Raises `WeightsError` if the weights of one are nowhere to be
    found or are not what was pinned, and `WorldError` if the device of the settings is not there.
    """
    runtime = Runtime.of(settings)
    return Models(
        image=load_image(settings, runtime),
        ocr=load_ocr(settings, runtime),
        entities=load_entities(settings, runtime),
        sentiment=load_sentiment(settings, runtime),
        text=load_text(settings, runtime),
    )


# Each of these loads one alone and raises `WeightsError` as `load_models` does. What models stand on takes seconds to
# import, so they come late; torch they get from the runtime.


def load_image(settings: ModelSettings, runtime: Runtime) -> Embedder[Pixels]:
    """The image model."""
    if settings.models == "stand-in":
        from models.standin import StandInImage

        return StandInImage()
    from models.vit import VitEmbedder

    return VitEmbedder.load(settings, runtime)


def load_ocr(settings: ModelSettings, runtime: Runtime) -> Model[Pixels, Reading]:
    """The reader of text in pictures."""
    if settings.models == "stand-in":
        from models.standin import StandInOcr

        return StandInOcr()
    from models.ocr.arrangement import load_reader

    return load_reader(settings, runtime)


def load_entities(settings: ModelSettings, runtime: Runtime) -> Model[str, tuple[Entity, ...]]:
    """The finder of named entities."""
    if settings.models == "stand-in":
        from models.standin import StandInEntities

        return StandInEntities()
    from models.entities import SpacyEntities
    from models.truecasing import Truecaser
    from models.weights import entity_weights

    weights = entity_weights(settings)
    truecase = Truecaser.load() if settings.truecase else None
    if (weights.path / "config.cfg").is_file():
        return SpacyEntities(weights, runtime).truecased(truecase)
    from models.transformers_text import TransformersEntities

    return TransformersEntities(weights, runtime).truecased(truecase)


def load_sentiment(settings: ModelSettings, runtime: Runtime) -> Model[str, Sentiment]:
    """The judge of tone."""
    if settings.models == "stand-in":
        from models.standin import StandInSentiment

        return StandInSentiment()
    if settings.sentiment == "vader":
        from models.sentiment import VaderSentiment

        return VaderSentiment.load(settings)
    from models.transformers_text import TransformersSentiment
    from models.weights import sentiment_weights

    return TransformersSentiment(sentiment_weights(settings), runtime)


def load_text(settings: ModelSettings, runtime: Runtime) -> Embedder[str]:
    """The sentence model.

    An engine that the settings name is used or an error; where they leave it open and there can be no graph, torch is.
    """
    if settings.models == "stand-in":
        from models.standin import StandInText

        return StandInText()
    from models.torch_runtime import Torch
    from models.weights import text_weights

    weights, engine = text_weights(settings), settings.text_engine
    if engine == "auto":
        engine = runtime.provider if runtime.device == "cpu" else Torch.name
    if engine != Torch.name:
        from models.text_onnx import OnnxSentenceEmbedder

        try:
            return OnnxSentenceEmbedder.load(weights, settings, runtime.on(engine))
        except WeightsError as error:
            if settings.text_engine != "auto":
                raise
            log.warning("sentences are embedded by torch", reason=str(error))
    from models.text_torch import SentenceEmbedder

    return SentenceEmbedder(weights, runtime, settings.text_batch)

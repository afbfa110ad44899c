"""The five models of a flow, together or one alone, as the settings say; importing this is cheap, calling it is not."""

from dataclasses import dataclass

from core.errors import WeightsError
from core.records import Entity, Pixels, Reading, Sentiment
from core.telemetry import log
from models.base import Embedder, Model
from models.model_settings import ModelSettings


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
    return Models(
        image=load_image(settings),
        ocr=load_ocr(settings),
        entities=load_entities(settings),
        sentiment=load_sentiment(settings),
        text=load_text(settings),
    )


# Each of these loads one alone and raises as `load_models` does. torch and what stands on it take seconds to import, so
# they come late, and `prepare` mends torchvision before anything imports it.


def load_image(settings: ModelSettings) -> Embedder[Pixels]:
    """The image model."""
    if settings.models == "stand-in":
        from models.standin import StandInImage

        return StandInImage()
    device = _prepared(settings)
    from models.vit import VitEmbedder

    return VitEmbedder.load(settings, device)


def load_ocr(settings: ModelSettings) -> Model[Pixels, Reading]:
    """The reader of text in pictures."""
    if settings.models == "stand-in":
        from models.standin import StandInOcr

        return StandInOcr()
    device = _prepared(settings)
    from models.ocr.arrangement import load_reader

    return load_reader(settings, device)


def load_entities(settings: ModelSettings) -> Model[str, tuple[Entity, ...]]:
    """The finder of named entities."""
    if settings.models == "stand-in":
        from models.standin import StandInEntities

        return StandInEntities()
    device = _prepared(settings)
    from models.entities import SpacyEntities
    from models.truecasing import Truecaser
    from models.weights import entity_weights

    weights = entity_weights(settings)
    truecase = Truecaser.load() if settings.truecase else None
    if (weights.path / "config.cfg").is_file():
        return SpacyEntities(weights).truecased(truecase)
    from models.transformers_text import TransformersEntities

    return TransformersEntities(weights, device).truecased(truecase)


def load_sentiment(settings: ModelSettings) -> Model[str, Sentiment]:
    """The judge of tone."""
    if settings.models == "stand-in":
        from models.standin import StandInSentiment

        return StandInSentiment()
    if settings.sentiment == "vader":
        from models.sentiment import VaderSentiment

        return VaderSentiment.load(settings)
    device = _prepared(settings)
    from models.transformers_text import TransformersSentiment
    from models.weights import sentiment_weights

    return TransformersSentiment(sentiment_weights(settings), device)


def load_text(settings: ModelSettings) -> Embedder[str]:
    """The sentence model."""
    if settings.models == "stand-in":
        from models.standin import StandInText

        return StandInText()
    from models.torch_runtime import device_of
    from models.weights import text_weights

    weights = text_weights(settings)
    if settings.text_engine == "auto" and device_of(settings) == "cpu":
        from models.text_onnx import OnnxSentenceEmbedder

        try:
            return OnnxSentenceEmbedder.load(weights, settings)
        except WeightsError as error:
            log.warning("sentences are embedded by torch", reason=str(error))
    device = _prepared(settings)
    from models.text_torch import SentenceEmbedder

    return SentenceEmbedder(weights, device, settings.text_batch)


def _prepared(settings: ModelSettings) -> str:
    from models.torch_runtime import prepare

    return prepare(settings)

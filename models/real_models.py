"""How the real model of each stage is loaded, as the settings say.

Importing this is cheap, calling it is not: what models stand on takes seconds to import, so it comes late; torch they
get from the runtime. Each raises `WeightsError` if weights are nowhere to be found or are not what was pinned.
"""

from core.errors import WeightsError
from core.records import Entity, Pixels, Reading, Sentiment
from core.telemetry import log
from models.base import Embedder, ImageEmbedder, Model
from models.model_settings import ModelSettings
from models.runtime import Runtime


def real_image(settings: ModelSettings, runtime: Runtime) -> ImageEmbedder:
    """The image model."""
    from models.vit import VitEmbedder
    from models.vit_engines import image_choice
    from models.weights import image_weights

    weights = image_weights(settings)
    return VitEmbedder(weights, runtime, settings, image_choice(weights, settings, runtime).plan)


def real_ocr(settings: ModelSettings, runtime: Runtime) -> Model[Pixels, Reading]:
    """The reader of text in images."""
    from models.ocr.arrangement import load_reader

    return load_reader(settings, runtime)


def real_entities(settings: ModelSettings, runtime: Runtime) -> Model[str, tuple[Entity, ...]]:
    """The finder of named entities."""
    from models.entities import SpacyEntities
    from models.truecasing import Truecaser
    from models.weights import entity_weights

    weights = entity_weights(settings)
    truecase = Truecaser.load() if settings.truecase else None
    if (weights.path / "config.cfg").is_file():
        return SpacyEntities(weights, runtime).truecased(truecase)
    from models.transformers_text import TransformersEntities

    return TransformersEntities(weights, runtime).truecased(truecase)


def real_sentiment(settings: ModelSettings, runtime: Runtime) -> Model[str, Sentiment]:
    """The judge of tone."""
    if settings.sentiment == "vader":
        from models.sentiment import VaderSentiment

        return VaderSentiment.load(settings)
    from models.transformers_text import TransformersSentiment
    from models.weights import sentiment_weights

    return TransformersSentiment(sentiment_weights(settings), runtime)


def real_text(settings: ModelSettings, runtime: Runtime) -> Embedder[str]:
    """The sentence model.

    An engine that the settings name is used or an error; where they leave it open and there can be no graph, torch is.
    """
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

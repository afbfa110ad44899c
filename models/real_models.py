"""Load the real model of each stage, as the settings say.

Importing this module is cheap. The functions import the models' libraries, which takes seconds; torch comes from the
runtime. Each raises `WeightsError` if weights are missing or differ from the pinned ones.
"""

from core.errors import WeightsError
from core.records import Entity, Pixels, Reading, Sentiment
from core.telemetry import log
from models.base import Embedder, ImageEmbedder, Model
from models.model_settings import ModelSettings
from models.runtime import Runtime


def real_image(settings: ModelSettings, runtime: Runtime) -> ImageEmbedder:
    """Load the image embedder."""
    from models.vit import VitEmbedder
    from models.vit_engines import image_choice
    from models.weights import image_weights

    weights = image_weights(settings)
    return VitEmbedder(weights, runtime, settings, image_choice(weights, settings, runtime).plan)


def real_ocr(settings: ModelSettings, runtime: Runtime) -> Model[Pixels, Reading]:
    """Load OCR."""
    from models.ocr.arrangement import load_reader

    return load_reader(settings, runtime)


def real_entities(settings: ModelSettings, runtime: Runtime) -> Model[str, tuple[Entity, ...]]:
    """Load the named-entity recogniser: a spaCy pipeline or a transformers model."""
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
    """Load the sentiment model: VADER or a transformers model."""
    if settings.sentiment == "vader":
        from models.sentiment import VaderSentiment

        return VaderSentiment.load(settings)
    from models.transformers_text import TransformersSentiment
    from models.weights import sentiment_weights

    return TransformersSentiment(sentiment_weights(settings), runtime)


def real_text(settings: ModelSettings, runtime: Runtime) -> Embedder[str]:
    """Load the sentence embedder.

    If the settings name an engine, it is used or an error is raised. With `auto`, torch runs models that cannot be
    exported to ONNX.
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
            log.warning("torch embeds sentences: the model has no ONNX graph", reason=str(error))
    from models.text_torch import SentenceEmbedder

    return SentenceEmbedder(weights, runtime, settings.text_batch)

"""The five models of a flow, loaded as the settings say; importing this module is cheap, calling it is not."""

from dataclasses import dataclass

from memewax.records import Entity, Pixels, Reading, Sentiment
from memewax.settings import Settings
from models.base import Embedder, Model


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


def load_models(settings: Settings) -> Models:
    """Load all five, once a process.

    Takes some seconds and about 1 GB for the real ones. Raises `WeightsError` if the weights of one are nowhere to be
    found or are not what was pinned, and `WorldError` if the device of the settings is not there.
    """
    return _stand_ins() if settings.models == "stand-in" else _real(settings)


def _stand_ins() -> Models:
    from models import standin

    return Models(
        image=standin.StandInImage(),
        ocr=standin.StandInOcr(),
        entities=standin.StandInEntities(),
        sentiment=standin.StandInSentiment(),
        text=standin.StandInText(),
    )


def _real(settings: Settings) -> Models:
    # torch and what stands on it take seconds to import, and torchvision is mended first
    from models.torch_runtime import prepare

    device = prepare(settings)
    from models.entities import SpacyEntities
    from models.ocr import EasyOcrReader
    from models.sentiment import VaderSentiment
    from models.text_embedding import SentenceEmbedder
    from models.vit import VitEmbedder

    return Models(
        image=VitEmbedder.load(settings, device),
        ocr=EasyOcrReader.load(settings, device),
        entities=SpacyEntities.load(settings),
        sentiment=VaderSentiment.load(),
        text=SentenceEmbedder.load(settings, device),
    )

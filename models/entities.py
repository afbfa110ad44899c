"""Named entities by a spaCy pipeline."""

from collections.abc import Sequence
from typing import Self

import spacy

from memewax.errors import WeightsError
from memewax.records import Entity
from memewax.settings import Settings
from models.base import Model
from models.inputs import check_texts
from models.weights import Weights, entity_weights

_NEEDED = ("tok2vec", "transformer", "ner")
"""Parts of a pipeline that entities take; tagging and parsing would triple the time."""


class SpacyEntities(Model[str, tuple[Entity, ...]]):
    """Entities in the order of the text, with the pipeline's own labels (OntoNotes' eighteen for `en_core_web_sm`)."""

    stage = "entities"
    batch_size = 64

    def __init__(self, weights: Weights) -> None:
        """Load `weights`; raises `WeightsError` if they are no spaCy pipeline that finds entities."""
        try:
            config = spacy.util.load_config(weights.path / "config.cfg")
            unneeded = [part for part in config["nlp"]["pipeline"] if part not in _NEEDED]
            self._nlp = spacy.load(weights.path, exclude=unneeded)
        except (OSError, ValueError, KeyError) as error:
            raise WeightsError(f"{weights.path} is no pipeline that spaCy can load: {error}") from error
        if "ner" not in self._nlp.pipe_names:
            raise WeightsError(f"{weights.path} finds no entities: its parts are {', '.join(self._nlp.pipe_names)}")
        self.name = weights.label

    @classmethod
    def load(cls, settings: Settings) -> Self:
        """The pipeline of `settings.ner`; raises `WeightsError`."""
        return cls(entity_weights(settings))

    def infer(self, batch: Sequence[str]) -> list[tuple[Entity, ...]]:
        """Entities of each text, as it was read: far fewer are found in lower case.

        Raises `ValueError` if one is no string or is longer than the pipeline's limit (a million characters).
        """
        texts = check_texts(batch)
        with self._nlp.memory_zone():  # else the vocabulary grows with every new word
            return [
                tuple(Entity(ent.text, ent.label_, ent.start_char, ent.end_char) for ent in doc.ents)
                for doc in self._nlp.pipe(texts, batch_size=self.batch_size)
            ]

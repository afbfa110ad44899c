"""Named-entity recognition by a spaCy pipeline; `models.transformers_text` has the one by a transformers model."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, Self

from core.errors import WeightsError
from core.records import Entity
from models.base import Model
from models.runtime import Runtime
from models.validation import check_texts
from models.weights import Weights

Span = tuple[int, int, str]
"""Start, end (exclusive) and label of an entity; offsets in characters."""

_ON_TRANSFORMERS = "transformer"
_NEEDED = ("tok2vec", _ON_TRANSFORMERS, "ner")
"""Components that entity recognition needs; tagging and parsing would triple the time."""


class EntityFinder(Model[str, tuple[Entity, ...]]):
    """A named-entity recogniser: entities in the order of the text, with the model's own labels.

    The model sees the lines of an image joined by spaces, because they break in the middle of sentences and names, and
    capitals as `truecase` restores them. Both keep all offsets valid.
    """

    stage = "entities"
    _truecase: Callable[[str], str] | None = None

    @abstractmethod
    def spans(self, texts: list[str]) -> list[list[Span]]:
        """Find the entities in each text."""

    def truecased(self, truecase: Callable[[str], str] | None) -> Self:
        """Set a function that is applied to texts first, and return the model; it must keep the length of texts."""
        self._truecase = truecase
        return self

    def infer(self, batch: Sequence[str]) -> list[tuple[Entity, ...]]:
        """Find the entities in each text; raises `ValueError` if one is not a string or too long for the model."""
        texts = check_texts(batch)
        found = self.spans([self._seen(text) for text in texts])
        return [
            tuple(Entity(text[start:end], label, start, end) for start, end, label in spans)
            for text, spans in zip(texts, found, strict=True)
        ]

    def _seen(self, text: str) -> str:
        joined = text.replace("\n", " ")
        return self._truecase(joined) if self._truecase else joined


class SpacyEntities(EntityFinder):
    """A spaCy pipeline; `en_core_web_sm` has the eighteen labels of OntoNotes."""

    batch_size = 64

    def __init__(self, weights: Weights, runtime: Runtime) -> None:
        """Load `weights`; raises `WeightsError` if they are not a spaCy pipeline with a component `ner`."""
        runtime.torch()  # spaCy imports it, and a pipeline may use it
        import spacy

        try:
            config = spacy.util.load_config(weights.path / "config.cfg")
            parts = config["nlp"]["pipeline"]
            unneeded = [part for part in parts if part not in _NEEDED]
            with runtime.transformers() if _ON_TRANSFORMERS in parts else nullcontext():
                self._nlp: Any = spacy.load(weights.path, exclude=unneeded)
        except (OSError, ValueError, KeyError) as error:
            raise WeightsError(f"{weights.path} is not a pipeline that spaCy can load: {error}") from error
        if "ner" not in self._nlp.pipe_names:
            raise WeightsError(f"{weights.path} finds no entities: its parts are {', '.join(self._nlp.pipe_names)}")
        self.name = weights.label

    def spans(self, texts: list[str]) -> list[list[Span]]:
        """Find the entities in each text, of at most a million characters."""
        with self._nlp.memory_zone():  # otherwise the vocabulary grows with every new word
            return [
                [(entity.start_char, entity.end_char, entity.label_) for entity in doc.ents]
                for doc in self._nlp.pipe(texts, batch_size=self.batch_size)
            ]

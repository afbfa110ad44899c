"""Interface of all models: batch in, batch out."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Final, Generic, TypeVar

from core.records import Failure, Features, Pixels, Vector
from models.fingerprint import fingerprint

In = TypeVar("In")
Out = TypeVar("Out")

_MIN_FINGERPRINT_SIDE: Final = 16
"""Pixels: an image with a shorter side has too little detail for a fingerprint."""


class Model(ABC, Generic[In, Out]):
    """A model of one stage.

    Calling it returns a result for every item, in order. An item that it cannot handle gets a `Failure` and does not
    affect its neighbours. Subclasses implement `infer` alone.
    """

    stage: ClassVar[str]
    """Name of the stage whose results it computes."""
    name: str
    """Id and, for models with weights, the hash of these (`models.identity`)."""
    batch_size: int
    """Items per call of `infer` at most."""
    engine: str = ""
    """What computes it, by the name that `memewax doctor` shows; empty: its own code."""
    precision: str = ""
    """Number format, for example int8, if the engine has several."""

    @property
    def recorded_name(self) -> str:
        """Return the name for records: with engine and precision in brackets if there are several."""
        return f"{self.name} ({self.engine} {self.precision})" if self.precision else self.name

    @abstractmethod
    def infer(self, batch: Sequence[In]) -> list[Out]:
        """Compute the results of 1 to `batch_size` items, in order; raises if any of them is invalid."""

    def __call__(self, items: Sequence[In]) -> list[Out | Failure]:
        """Compute a result or failure for each item of any number, in order.

        If a batch raises, its items are computed one by one, so that only invalid ones fail.
        """
        results: list[Out | Failure] = []
        for start in range(0, len(items), self.batch_size):
            batch = items[start : start + self.batch_size]
            try:
                inferred = self.infer(batch)
            except Exception:
                results.extend(self._one_or_failure(item) for item in batch)
            else:
                results.extend(inferred)
        return results

    def one(self, item: In) -> Out:
        """Compute the result of one item; raises if it is invalid."""
        return self.infer([item])[0]

    def _one_or_failure(self, item: In) -> Out | Failure:
        try:
            return self.one(item)
        except Exception as error:
            return Failure.of(self.stage, error)


class Embedder(Model[In, Vector]):
    """A model whose results are embeddings: float32, shape (`dimension`,), L2-normalised."""

    dimension: int
    """Embedding dimension."""


class ImageEmbedder(Embedder[Pixels]):
    """An embedder of images, and of their patches if it overrides `describe`."""

    def describe(self, batch: Sequence[Pixels]) -> list[Features]:
        """Compute the features of 1 to `batch_size` images, in order; raises if any of them is invalid."""
        return [Features(it) for it in self.infer(batch)]


class Describer(Model[Pixels, Features]):
    """An image model whose results are all features of an image, including its fingerprint for deduplication."""

    stage = "embedding"

    def __init__(self, model: ImageEmbedder) -> None:
        self._model = model
        self.name, self.batch_size = model.name, model.batch_size
        self.engine, self.precision = model.engine, model.precision

    def infer(self, batch: Sequence[Pixels]) -> list[Features]:
        """Compute the features of each image; raises if one is invalid."""
        return [
            replace(it, fingerprint=fingerprint(image) if min(image.shape[:2]) >= _MIN_FINGERPRINT_SIDE else None)
            for image, it in zip(batch, self._model.describe(batch), strict=True)
        ]

"""The one interface of every model: batch in, batch out."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Final, Generic, TypeVar

from core.records import Failure, Features, Pixels, Vector
from models.fingerprint import fingerprint

In = TypeVar("In")
Out = TypeVar("Out")

_SMALLEST: Final = 16
"""Pixels: a smaller image has no looks to compare."""


class Model(ABC, Generic[In, Out]):
    """A model of one stage.

    Calling it answers for every item, in order; an item it cannot handle gets `Failure` and its neighbours do not
    notice. Subclasses write `infer` alone.
    """

    stage: ClassVar[str]
    """The side of the join it answers for."""
    name: str
    """The id and, where it matters, the identity of the weights (`models.identity`)."""
    batch_size: int
    """At most so many items a call of `infer`."""
    engine: str = ""
    """What computes it, as `memewax doctor` calls it; empty: nothing but its own code."""
    precision: str = ""
    """In which numbers, where several could be had."""

    @property
    def recorded_name(self) -> str:
        """What stands in a record: the name, and what computed it where that could be several."""
        return f"{self.name} ({self.engine} {self.precision})" if self.precision else self.name

    @abstractmethod
    def infer(self, batch: Sequence[In]) -> list[Out]:
        """One result for each of 1 to `batch_size` items, in order; raises if any of them is bad."""

    def __call__(self, items: Sequence[In]) -> list[Out | Failure]:
        """One result or failure for each item, in order; an empty sequence gives an empty list."""
        answers: list[Out | Failure] = []
        for start in range(0, len(items), self.batch_size):
            batch = items[start : start + self.batch_size]
            try:
                results = self.infer(batch)
            except Exception:
                answers.extend(self._alone(item) for item in batch)
            else:
                answers.extend(results)
        return answers

    def one(self, item: In) -> Out:
        """The single case; raises where the item is bad."""
        return self.infer([item])[0]

    def _alone(self, item: In) -> Out | Failure:
        try:
            return self.one(item)
        except Exception as error:
            return Failure.of(self.stage, error)


class Embedder(Model[In, Vector]):
    """A model whose answers are vectors: float32, shape (`dimension`,), L2-normalised."""

    dimension: int
    """Length of each vector."""


class ImageEmbedder(Embedder[Pixels]):
    """An embedder of images, which may say something of their patches too."""

    def describe(self, batch: Sequence[Pixels]) -> list[Features]:
        """Describe 1 to `batch_size` images, in order; raises if any of them is bad."""
        return [Features(it) for it in self.infer(batch)]


class Describer(Model[Pixels, Features]):
    """An image model that is asked for all that it says of an image, and its fingerprint besides."""

    stage = "embedding"

    def __init__(self, model: ImageEmbedder) -> None:
        self._model = model
        self.name, self.batch_size = model.name, model.batch_size
        self.engine, self.precision = model.engine, model.precision

    def infer(self, batch: Sequence[Pixels]) -> list[Features]:
        """The features of each image; raises if one is bad."""
        return [
            replace(it, fingerprint=fingerprint(image) if min(image.shape[:2]) >= _SMALLEST else None)
            for image, it in zip(batch, self._model.describe(batch), strict=True)
        ]

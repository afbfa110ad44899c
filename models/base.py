"""The one interface of every model: batch in, batch out."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Generic, TypeVar

from core.records import Failed, Vector

In = TypeVar("In")
Out = TypeVar("Out")


class Model(ABC, Generic[In, Out]):
    """A model of one stage.

    Calling it answers for every item, in order; an item it cannot handle gets `Failed` and its neighbours do not
    notice. Subclasses write `infer` alone.
    """

    stage: ClassVar[str]
    """The side of the join it answers for."""
    name: str
    """What stands in the record: the id and, where it matters, the version of the weights."""
    batch_size: int
    """At most so many items a call of `infer`."""

    @abstractmethod
    def infer(self, batch: Sequence[In]) -> list[Out]:
        """One result for each of 1 to `batch_size` items, in order; raises if any of them is bad."""

    def __call__(self, items: Sequence[In]) -> list[Out | Failed]:
        """One result or failure for each item, in order; an empty sequence gives an empty list."""
        answers: list[Out | Failed] = []
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

    def _alone(self, item: In) -> Out | Failed:
        try:
            return self.one(item)
        except Exception as error:
            return Failed.of(self.stage, error)


class Embedder(Model[In, Vector]):
    """A model whose answers are vectors: float32, shape (`dimension`,), L2-normalised."""

    dimension: int
    """Length of each vector."""

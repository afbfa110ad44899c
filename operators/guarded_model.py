"""Guards models against poison items: marks items during processing, so that one that kills the process is found."""

from collections.abc import Sequence
from typing import Any, Final, TypeVar

import numpy as np

from connectors.fetching.poison_items import PoisonError, PoisonMarks, key_of
from core.records import Failure
from models.base import Model

In = TypeVar("In")
Out = TypeVar("Out")
_LOOKS: Final = 128
"""Rows and columns that suffice to identify an image: hashing all pixels would cost some milliseconds."""


def guarded(model: Model[In, Out], deaths: PoisonMarks | None) -> Model[In, Out]:
    """Wrap a model so that items at which a process died are processed alone, and after three deaths not at all.

    Args:
        model: A model of images or texts.
        deaths: Poison marks; None: return the model unchanged.
    """
    return model if deaths is None else _GuardedModel(model, deaths)


class _GuardedModel(Model[In, Out]):
    def __init__(self, model: Model[In, Out], deaths: PoisonMarks) -> None:
        self._model = model
        self._deaths = deaths
        self.stage = model.stage  # type: ignore[misc]
        self.name, self.batch_size = model.name, model.batch_size
        self.engine, self.precision = model.engine, model.precision

    def infer(self, batch: Sequence[In]) -> list[Out]:
        return self._model.infer(batch)

    def __call__(self, items: Sequence[In]) -> list[Out | Failure]:
        keys = [_key(self.stage, item) for item in items]
        suspects = [place for place, key in enumerate(keys) if self._deaths.is_suspect(key)]
        others = [place for place in range(len(items)) if place not in suspects]
        answers: dict[int, Out | Failure] = {}
        if others:
            with self._deaths.in_progress([keys[place] for place in others]):
                answers.update(zip(others, self._model([items[place] for place in others]), strict=True))
        for place in suspects:
            try:
                with self._deaths.in_progress([keys[place]]):
                    answers[place] = self._model([items[place]])[0]
            except PoisonError as error:
                answers[place] = Failure.of(self.stage, error)
        return [answers[place] for place in range(len(items))]


def _key(stage: str, item: Any) -> bytes:
    if not isinstance(item, np.ndarray):
        return key_of(stage.encode(), str(item).encode(errors="surrogatepass"))
    height, width = item.shape[:2]
    some = item[:: 1 + height // _LOOKS, :: 1 + width // _LOOKS]
    return key_of(stage.encode(), f"{item.shape}".encode(), np.ascontiguousarray(some).data)

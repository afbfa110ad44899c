"""The declaration of a stage: its columns, model, settings and evaluation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from core.columns import Column
from core.settings import Group
from models.base import Model
from models.runtime import Runtime
from models.weights import Weights

OF_MODEL: Final = 0
"""Placeholder for a vector's length: the embedding dimension of the stage's model."""

Values = Mapping[str, Any]
"""Results of the stages by name; None if a stage failed or had no result."""


@dataclass(frozen=True, slots=True)
class StageColumn:
    """A column of the record, and how to derive its value from the stage's result."""

    column: Column
    of: Callable[[Any], Any]
    """Convert the stage's result to the column's value."""
    without: Callable[[Values], Any] | None = None
    """Compute the column's value from the other stages if this one has no result; None: it is null."""
    in_first_version: bool = False
    """Whether the first version of memewax had it: such columns come first."""


@dataclass(frozen=True, slots=True)
class StageModel:
    """The model of a stage."""

    settings: type[Group]
    subject: Literal["image", "text"]
    """Its input: the post's image, or the text that OCR read in it."""
    load: Callable[[Any, Runtime], Model[Any, Any]]
    """Load the real model, by settings with the fields of `settings`; raises `WeightsError`."""
    fake: Callable[[], Model[Any, Any]]
    """Make the fake model, which returns fixed results at once."""
    evaluation: str = ""
    """The subcommand of `memewax eval` that measures it: `command` of `memewax.evaluation.measure_<evaluation>`."""
    why_unmeasured: str = ""
    """Why there is no evaluation, if there is none."""
    weights: Callable[[Any], tuple[Callable[[], Weights], ...]] = lambda _: ()
    """Return a function for each part of the model that finds the part's weights; () for a model without weights."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A step of the dataflow that gives every post a result, no result, or a failure."""

    name: str
    columns: tuple[StageColumn, ...]
    model: StageModel | None = None
    """None: a part of the dataflow computes the result instead."""
    settings: type[Group] | None = None
    """The settings of a stage without a model."""
    evaluation: str = ""
    """The subcommand of `memewax eval` that measures a stage without a model."""

    def load(self, settings: Any, runtime: Runtime) -> Any:
        """Load its model, or the fake one if the settings say so; raises `WeightsError`."""
        assert self.model is not None, f"{self.name} has no model"
        return self.model.fake() if settings.models == "fake" else self.model.load(settings, runtime)

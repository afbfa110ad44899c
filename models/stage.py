"""What the flow knows of a stage of a post: its columns, its model, its settings, its evaluation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from core.columns import Column
from core.settings import Group
from models.base import Model
from models.runtime import Runtime
from models.weights import Weights

OF_MODEL: Final = 0
"""Length of a vector in the table of stages: as long as those of the stage's model."""

Values = Mapping[str, Any]
"""What each stage answered, by its name; None where it failed or had nothing to answer."""


@dataclass(frozen=True, slots=True)
class StageColumn:
    """A column of the record, and how the stage's value becomes it."""

    column: Column
    of: Callable[[Any], Any]
    """The column of a value."""
    without: Callable[[Values], Any] | None = None
    """The column where the stage has no value, from what the others have; None: null."""
    in_first_version: bool = False
    """Whether the first version had it: those come before all others."""


@dataclass(frozen=True, slots=True)
class StageModel:
    """The model of a stage."""

    settings: type[Group]
    subject: Literal["image", "text"]
    """What it is shown: the post's image, or the text that was read in it."""
    load: Callable[[Any, Runtime], Model[Any, Any]]
    """Load the real one by settings that have the group's fields; raises `WeightsError`."""
    fake: Callable[[], Model[Any, Any]]
    """One that answers at once without looking."""
    evaluation: str = ""
    """The command of `memewax eval` that measures it, `command` of `memewax.evaluation.measure_<evaluation>`."""
    why_unmeasured: str = ""
    """The reason where there is no evaluation."""
    weights: Callable[[Any], tuple[Callable[[], Weights], ...]] = lambda _: ()
    """What finds its weights, a finder for each part; a model without weights has none."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage answers for every post, with a value, with nothing, or with a failure."""

    name: str
    columns: tuple[StageColumn, ...]
    model: StageModel | None = None
    """None: no model answers, but a part of the flow."""
    settings: type[Group] | None = None
    """The settings of a stage without a model."""
    evaluation: str = ""
    """The command of `memewax eval` that measures a stage without a model."""

    def load(self, settings: Any, runtime: Runtime) -> Any:
        """Its model, or the fake where the settings say so; raises `WeightsError`."""
        assert self.model is not None, f"{self.name} has no model"
        return self.model.fake() if settings.models == "fake" else self.model.load(settings, runtime)

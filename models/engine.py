"""What every engine that runs models answers to, and what it is told."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, TypeVar

from numpy.typing import NDArray

Read = TypeVar("Read")
"""What is made of a graph's outputs."""

Device = Literal["cpu", "cuda"]
Precision = Literal["exact", "fp32", "bf16", "int8"]
"""In which numbers is computed. `exact` is what all others are compared with: float32 as IEEE 754 has it. `fp32` is the
same but for numbers below 1e-38, which count as zero; of `bf16` and `int8` sums and what lies between are float32."""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Where and how an engine computes."""

    device: Device = "cpu"
    threads: int = 1
    """Threads of one model on the CPU."""
    precision: Precision = "exact"


@dataclass(frozen=True, slots=True)
class Plan:
    """What runs a model, and in which numbers."""

    engine: str
    precision: Precision

    def __str__(self) -> str:
        return f"{self.engine} {self.precision}"


class Session(Protocol):
    """An ONNX graph that an engine has opened."""

    @property
    def inputs(self) -> Sequence[str]:
        """Names of the graph's inputs, in its order."""

    def run(self, tensors: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """The graph's outputs, in its order, for a tensor of any allowed shape for each input."""

    def read(self, tensors: Mapping[str, NDArray[Any]], reader: Callable[[list[NDArray[Any]]], Read]) -> Read:
        """What `reader` makes of the outputs, which may be gone afterwards: large ones need not be copied."""


class Engine(ABC):
    """Something that can run a model."""

    name: ClassVar[str]
    """As settings and `memewax doctor` call it."""
    package: ClassVar[str]
    """The top-level package that it needs."""
    precisions: ClassVar[tuple[Precision, ...]]
    """What it can compute in, where there are instructions for it."""

    def why_missing(self) -> str | None:
        """Why it cannot be used here and what to do; None where it can."""
        if find_spec(self.package) is None:
            return f"engine {self.name!r} needs the package {self.package}: pip install {self.package}"
        return None

    def device(self, options: EngineOptions) -> Device:
        """Where it computes, given these options: the CPU if this build of it knows no other device."""
        return options.device


class GraphEngine(Engine):
    """An engine that opens ONNX graphs."""

    @abstractmethod
    def session(self, file: Path, options: EngineOptions) -> Session:
        """Open the graph in `file`; raises what the engine raises if it cannot."""

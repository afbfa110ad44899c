"""Interface of the engines that run models, and their options."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, TypeVar

from numpy.typing import NDArray

Read = TypeVar("Read")
"""Result of a function of a graph's outputs."""

Device = Literal["cpu", "cuda"]
Precision = Literal["exact", "fp32", "bf16", "int8"]
"""Number format of the computation. `exact`, the reference, is float32 as in IEEE 754. `fp32` is float32 with numbers
below 1e-38 (denormals) flushed to zero. With `bf16` and `int8`, only products are in that format: their sums and the
activations between them are float32."""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Where and how an engine computes."""

    device: Device = "cpu"
    threads: int = 1
    """Threads of one model on the CPU."""
    precision: Precision = "exact"


@dataclass(frozen=True, slots=True)
class Plan:
    """The engine and the precision that run a model."""

    engine: str
    precision: Precision

    def __str__(self) -> str:
        """Return, for example, `onnx fp32`."""
        return f"{self.engine} {self.precision}"


class Session(Protocol):
    """An ONNX graph that an engine has loaded."""

    @property
    def inputs(self) -> Sequence[str]:
        """Return the names of the graph's inputs, in its order."""

    def run(self, tensors: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Run the graph on a tensor for each input; return its outputs, in its order."""

    def read(self, tensors: Mapping[str, NDArray[Any]], reader: Callable[[list[NDArray[Any]]], Read]) -> Read:
        """Run the graph and return what `reader` computes from the outputs, without copying these.

        The outputs are valid only during the call of `reader`.
        """


class Engine(ABC):
    """An engine that can run models."""

    name: ClassVar[str]
    """Its name in settings and in `memewax doctor`."""
    package: ClassVar[str]
    """The top-level Python package that it needs."""
    precisions: ClassVar[tuple[Precision, ...]]
    """Precisions that it supports, if the CPU has instructions for them."""

    def why_missing(self) -> str | None:
        """Return why it is not installed and how to install it, or None if it is."""
        if find_spec(self.package) is None:
            return f"engine {self.name!r} needs the package {self.package}: pip install {self.package}"
        return None

    def device(self, options: EngineOptions) -> Device:
        """Return the device that it uses with these options: the CPU if this build of it supports no other."""
        return options.device


class GraphEngine(Engine):
    """An engine that runs ONNX graphs."""

    @abstractmethod
    def session(self, file: Path, options: EngineOptions) -> Session:
        """Load the graph in `file`; raises what the engine raises if it cannot."""

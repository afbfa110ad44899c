"""What models compute on: device, threads, precision and provider, chosen once and needed to construct a model."""

from dataclasses import dataclass
from typing import Literal

Device = Literal["cpu", "cuda"]


@dataclass(frozen=True, slots=True)
class Runtime:
    """Where and how a model computes; `Runtime.of` makes the one of the settings."""

    device: Device = "cpu"
    threads: int = 1
    """Threads of one model on the CPU."""
    precision: Literal["float32"] = "float32"

"""The network of an image model, run by torch or as an ONNX graph: from pixels to the last hidden state and a vector.

transformers makes it, and takes seconds to import. So on a CPU what torch traced of it is kept: the same operations in
the same order, of which each number is the same. Whoever has that needs torch alone.
"""

import warnings
from contextlib import AbstractContextManager, nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from core.errors import WeightsError
from core.telemetry import log
from models.engine import Plan, Session
from models.image_graph import image_graph
from models.model_cache import cache_of, kept
from models.model_settings import CacheSettings
from models.runtime import Runtime
from models.torch_runtime import Torch
from models.vit_module import has_cls, made, pooled
from models.weights import Weights

if TYPE_CHECKING:
    import torch

_TRACE: Final = "model.pt"
_VERSION: Final = 1
"""Of the traces that are kept: those of another are not looked at."""
_TRACED: Final = 2
_TRIED: Final = (1, 2, 3)
"""Pictures at once by which a trace is compared."""


class VitNetwork(Protocol):
    """What an image model computes."""

    def __call__(self, pixels: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor]":
        """Of pixels of shape (n, 3, size, size) the last hidden state, and a vector for each picture; float32."""


def network(weights: Weights, size: int, settings: CacheSettings, runtime: Runtime, plan: Plan) -> VitNetwork:
    """The network of `weights` for pictures of `size` pixels a side, run as the plan says.

    Raises `WeightsError` where they have none or it cannot be made into what the plan needs.
    """
    if plan.engine == Torch.name:
        return _TorchNetwork(_module(weights, size, settings, runtime), runtime, plan)
    graph = image_graph(weights, size, settings, runtime, plan.precision)
    return _GraphNetwork(runtime.by(plan).session(graph), runtime)


class _TorchNetwork:
    def __init__(self, module: Any, runtime: Runtime, plan: Plan) -> None:
        self._torch = runtime.torch()
        self._module = module
        self._has_cls = has_cls(module)
        self._device = runtime.device
        self._is_bf16 = plan.precision == "bf16"

    def __call__(self, pixels: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor]":
        torch = self._torch
        precision: AbstractContextManager[Any] = (
            torch.autocast(self._device, torch.bfloat16) if self._is_bf16 else nullcontext()
        )
        # A trace would do its first passes otherwise than later ones.
        with torch.jit.optimized_execution(False), precision:
            hidden = self._module(pixels.to(self._device, non_blocking=True)).float()
        return hidden, pooled(hidden, by_cls=self._has_cls)


class _GraphNetwork:
    def __init__(self, session: Session, runtime: Runtime) -> None:
        self._torch = runtime.torch()
        self._session = session
        (self._input,) = session.inputs

    def __call__(self, pixels: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor]":
        hidden, vectors = self._session.run({self._input: pixels.numpy()})
        return self._torch.from_numpy(hidden), self._torch.from_numpy(vectors)


def _module(weights: Weights, size: int, settings: CacheSettings, runtime: Runtime) -> Any:
    if runtime.device == "cpu":
        try:
            return _opened(_kept(weights, size, settings, runtime), runtime)
        except WeightsError as error:
            log.info("the image model is made by transformers, which takes longer", reason=str(error))
    return made(weights, runtime)


def _kept(weights: Weights, size: int, settings: CacheSettings, runtime: Runtime) -> Path:
    made_by = f"{version('torch')}-{version('transformers')}"
    name = f"{weights.label.replace('/', '--')}-trace-{_VERSION}-{made_by}"

    def write(draft: Path) -> None:
        _write(weights, size, draft / _TRACE, runtime)

    megabytes = weights.size // 10**6 + 1
    folder = kept(cache_of(settings) / name, (_TRACE,), write, what=f"the trace of {weights.id}", megabytes=megabytes)
    return folder / _TRACE


def _write(weights: Weights, size: int, file: Path, runtime: Runtime) -> None:
    torch = runtime.torch()
    whole = made(weights, runtime)
    random = torch.Generator().manual_seed(1)
    tried = {count: torch.randn((count, 3, size, size), generator=random) for count in _TRIED}
    try:
        # Of what is taken for constants, on which the comparison tells; other threads load models meanwhile.
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)
        with torch.no_grad():
            torch.jit.trace(whole, tried[_TRACED], check_trace=False).save(str(file))
            trace = _opened(file, runtime)
            is_same = all(torch.equal(trace(pixels), whole(pixels)) for pixels in tried.values())
    except Exception as error:  # of many kinds, for what cannot be traced
        raise WeightsError(f"{weights.id} cannot be traced: {error}") from error
    if not is_same:
        raise WeightsError(f"{weights.id} gives other numbers when it is traced")


def _opened(file: Path, runtime: Runtime) -> Any:
    return runtime.torch().jit.load(str(file)).eval()

"""Run the network of an image model by torch or as an ONNX graph: from pixels to a grid of patches and an embedding.

transformers builds the network, and takes seconds to import. So on a CPU a torch trace of it is cached: the same
operations in the same order, with identical results. The trace needs torch alone, and an ONNX graph not even that.
"""

import math
import warnings
from contextlib import AbstractContextManager, nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from core.errors import WeightsError
from core.telemetry import log
from models.arrays import Float32Array
from models.engine import Device, Plan, Session
from models.image_graph import image_graph
from models.model_cache import cache_of, cached_folder
from models.model_settings import CacheSettings
from models.runtime import Runtime
from models.torch_runtime import Torch
from models.vit_module import has_cls, load_network, pooled
from models.weights import Weights

GRID: Final = 8
"""Patches along each side of the grid by which clusters are verified."""
_TRACE: Final = "model.pt"
_VERSION: Final = 1
"""Version of the cached traces; those of other versions are ignored."""
_TRACED: Final = 2
"""Batch size that is traced."""
_TRIED: Final = (1, 2, 3)
"""Batch sizes for comparing the trace with the network."""


class VitNetwork(Protocol):
    """The forward pass of an image model."""

    def __call__(self, pixels: Float32Array) -> tuple[Float32Array | None, Float32Array]:
        """Compute the patches and embeddings of preprocessed images.

        Args:
            pixels: float32, shape (n, 3, size, size).

        Returns:
            Patches pooled to a grid, float32, shape (n, 8, 8, dimension), or None if the model has fewer; and
            embeddings, float32, shape (n, dimension), not normalised.
        """


def network(weights: Weights, size: int, settings: CacheSettings, runtime: Runtime, plan: Plan) -> VitNetwork:
    """Load the network of `weights` for images of `size` x `size` pixels, to run as the plan says.

    Raises:
        WeightsError: If the weights are not an image model, or cannot be converted as the plan needs.
    """
    if plan.engine == Torch.name:
        return _TorchNetwork(_module(weights, size, settings, runtime), runtime, plan)
    graph = image_graph(weights, size, settings, runtime, plan.precision)
    return _GraphNetwork(runtime.by(plan).session(graph))


class _TorchNetwork:
    def __init__(self, module: Any, runtime: Runtime, plan: Plan) -> None:
        self._torch = runtime.torch()
        self._module = module
        self._has_cls = has_cls(module)
        self._device = runtime.device
        self._is_bf16 = plan.precision == "bf16"

    def __call__(self, pixels: Float32Array) -> tuple[Float32Array | None, Float32Array]:
        torch = self._torch
        precision: AbstractContextManager[Any] = (
            torch.autocast(self._device, torch.bfloat16) if self._is_bf16 else nullcontext()
        )
        with torch.inference_mode():
            # With optimisation, the first passes of a trace would differ from later ones.
            with torch.jit.optimized_execution(False), precision:
                hidden = self._module(_moved(torch.from_numpy(pixels), self._device)).float()
            vectors = pooled(hidden, by_cls=self._has_cls).cpu().numpy()
            shown = _as_map(hidden)
            if min(shown.shape[2:]) < GRID:
                return None, vectors
            grid = torch.nn.functional.adaptive_avg_pool2d(shown, GRID).permute(0, 2, 3, 1)
            return grid.cpu().numpy(), vectors


def _moved(pixels: Any, device: Device) -> Any:
    """Move a tensor to the device. From pinned memory a GPU copies it by itself, twice as fast."""
    return pixels.pin_memory().to(device, non_blocking=True) if device == "cuda" else pixels


class _GraphNetwork:
    def __init__(self, session: Session) -> None:
        self._session = session
        (self._input,) = session.inputs

    def __call__(self, pixels: Float32Array) -> tuple[Float32Array | None, Float32Array]:
        hidden, vectors = self._session.run({self._input: pixels})
        shown = _as_map(hidden)
        if min(shown.shape[2:]) < GRID:
            return None, vectors
        rows, columns = (_averages(it) for it in shown.shape[2:])
        return np.einsum("gh,nchw,kw->ngkc", rows, shown, columns, optimize=True), vectors


def _as_map(hidden: Any) -> Any:
    """Return the patches of each image as a map of shape (n, dimension, height, width)."""
    if hidden.ndim == 4:
        return hidden
    side = math.isqrt(hidden.shape[1])  # tokens; the first ones (CLS, registers) are not patches
    patches = hidden[:, hidden.shape[1] - side * side :]
    return patches.swapaxes(1, 2).reshape(len(hidden), -1, side, side)


def _averages(side: int) -> Float32Array:
    """Return the matrix that averages a side to `GRID` parts, shape (GRID, side).

    As in torch's adaptive pooling, parts overlap if the side is not a multiple of `GRID`.
    """
    found = np.zeros((GRID, side), np.float32)
    for part in range(GRID):
        begin, end = part * side // GRID, -(-(part + 1) * side // GRID)
        found[part, begin:end] = 1 / (end - begin)
    return found


def _module(weights: Weights, size: int, settings: CacheSettings, runtime: Runtime) -> Any:
    if runtime.device == "cpu":
        try:
            return _opened(_kept(weights, size, settings, runtime), runtime)
        except WeightsError as error:
            log.info("loading the image model by transformers, which takes longer", reason=str(error))
    return load_network(weights, runtime)


def _kept(weights: Weights, size: int, settings: CacheSettings, runtime: Runtime) -> Path:
    made_by = f"{version('torch')}-{version('transformers')}"
    name = f"{weights.label.replace('/', '--')}-trace-{_VERSION}-{made_by}"

    def write(draft: Path) -> None:
        _write(weights, size, draft / _TRACE, runtime)

    megabytes = weights.size // 10**6 + 1
    folder = cached_folder(
        cache_of(settings) / name, (_TRACE,), write, what=f"the trace of {weights.id}", megabytes=megabytes
    )
    return folder / _TRACE


def _write(weights: Weights, size: int, file: Path, runtime: Runtime) -> None:
    torch = runtime.torch()
    whole = load_network(weights, runtime)
    random = torch.Generator().manual_seed(1)
    tried = {count: torch.randn((count, 3, size, size), generator=random) for count in _TRIED}
    try:
        # Ignore warnings of values traced as constants: the comparison would show a wrong one. Not restored, because
        # other threads load models meanwhile.
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)
        with torch.no_grad():
            torch.jit.trace(whole, tried[_TRACED], check_trace=False).save(str(file))
            trace = _opened(file, runtime)
            is_same = all(torch.equal(trace(pixels), whole(pixels)) for pixels in tried.values())
    except Exception as error:  # of many kinds, for unsupported networks
        raise WeightsError(f"{weights.id} cannot be traced: {error}") from error
    if not is_same:
        raise WeightsError(f"{weights.id} cannot be traced: its trace gives other numbers")


def _opened(file: Path, runtime: Runtime) -> Any:
    return runtime.torch().jit.load(str(file)).eval()

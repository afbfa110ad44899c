"""The network of an image model: a torch module from pixels to the last hidden state.

transformers makes it, and takes seconds to import. So on a CPU what torch traced of it is kept: the same operations in
the same order, of which each number is the same. Whoever has that needs torch alone.
"""

import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from core.errors import WeightsError
from core.telemetry import log
from models.model_cache import cache_of, kept
from models.model_settings import CacheSettings
from models.runtime import Runtime
from models.weights import Weights

_TRACE: Final = "model.pt"
_VERSION: Final = 1
"""Of the traces that are kept: those of another are not looked at."""
_TRACED: Final = 2
_TRIED: Final = (1, 2, 3)
"""Pictures at once by which a trace is compared."""


def network(weights: Weights, size: int, settings: CacheSettings, runtime: Runtime) -> Any:
    """The network of `weights` for pictures of `size` pixels a side; raises `WeightsError` where they have none."""
    if runtime.device == "cpu":
        try:
            return _opened(_kept(weights, size, settings, runtime), runtime)
        except WeightsError as error:
            log.info("the image model is made by transformers, which takes longer", reason=str(error))
    return made(weights, runtime)


def made(weights: Weights, runtime: Runtime) -> Any:
    """The network as transformers makes it; raises `WeightsError` if they are no image model."""
    torch = runtime.torch()
    with runtime.transformers() as transformers:
        try:
            model = transformers.AutoModel.from_pretrained(weights.path, local_files_only=True, dtype=torch.float32)
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise WeightsError(f"{weights.path} is no image model that transformers can load: {error}") from error

    # Made here, since its base is of a module that only a runtime gives.
    class Network(torch.nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.model = getattr(model, "vision_model", model)  # of a pair for pictures and texts

        def forward(self, pixels: Any) -> Any:
            return self.model(pixel_values=pixels).last_hidden_state

    return Network().eval().to(runtime.device)


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

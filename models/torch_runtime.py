"""Configure torch, torchvision and transformers before their first use: environment, threads, logging, a repair."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from threading import RLock
from types import ModuleType
from typing import TYPE_CHECKING, Final

from core.errors import WorldError
from models.engine import Engine, EngineOptions

if TYPE_CHECKING:
    from torch import library

# Two defaults of torch on a CPU harm a stream. torch reads these variables once, on import.
_READ_AT_IMPORT: Final = {
    # Its threads spin while they wait for each other. When a broker or another process needs the same cores, an image
    # took 2 s instead of 0.15 s. Sleeping costs nothing measurable.
    "OMP_WAIT_POLICY": "PASSIVE",
    # It caches 1024 compiled kernels, some thirty per image shape: OCR of 60 images took 2 GB more, and memory kept
    # growing. With 64 it stays constant, at the same speed.
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64",
}
_SCHEMAS: Final = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_import_lock: Final = RLock()
_kept: "list[library.Library]" = []
"""References to operator libraries: torch removes the operators of a library that is garbage-collected."""


class Torch(Engine):
    """The engine torch; it runs torch modules, not ONNX graphs."""

    name = "torch"
    package = "torch"
    precisions = ("exact", "bf16")


def set_environment() -> None:
    """Set the environment variables that torch reads on import, unless they are set already."""
    for name, value in _READ_AT_IMPORT.items():
        os.environ.setdefault(name, value)


def imported_torch() -> ModuleType:
    """Import torch with its environment set: enough for matrix products; models need `loaded_torch`."""
    set_environment()
    import torch

    return torch


def cuda_is_there() -> bool:
    """Check whether torch has a CUDA device."""
    return bool(imported_torch().cuda.is_available())


def loaded_torch(options: EngineOptions) -> ModuleType:
    """Import torch and set its number of threads."""
    torch = imported_torch()
    torch.set_num_threads(options.threads)
    return torch


@contextmanager
def torch_with_torchvision(options: EngineOptions) -> Iterator[ModuleType]:
    """Import torch with a working torchvision, and hold a lock within the `with` block.

    The lock is needed because libraries based on both import their modules lazily, and these import each other: two
    threads would deadlock. Raises `WorldError` if torchvision cannot be imported.
    """
    torch = loaded_torch(options)
    with _import_lock:
        patch_torchvision()
        yield torch


@contextmanager
def loaded_transformers(options: EngineOptions) -> Iterator[ModuleType]:
    """Import transformers with its logging off, under the same lock as `torch_with_torchvision`."""
    with torch_with_torchvision(options):
        import transformers
        from transformers.utils import logging

        logging.set_verbosity_error()  # type: ignore[no-untyped-call] # it logs every unused weight
        logging.disable_progress_bar()  # type: ignore[no-untyped-call] # for loads that take less than a second
        yield transformers


@cache
def patch_torchvision() -> str | None:
    """Make `import torchvision` work if it was built for CUDA and torch was not.

    In that case its compiled operators do not load, and its import fails at two operators that it registers without
    checking that they exist. Declaring these two suffices, because memewax does not call them.

    Returns:
        What was wrong and how to repair it for good, or None if nothing was.

    Raises:
        WorldError: If torchvision cannot be imported for another reason.
    """
    torch = imported_torch()
    from torch import library

    try:
        import torchvision
    except Exception as error:  # a broken compiled package raises any kind
        if torch.version.cuda is not None or "torchvision::nms" not in str(error):
            raise WorldError(f"torchvision cannot be imported ({error}): {_remedy(torch.__version__)}") from error
        reason = str(error)
    else:
        return None
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]  # the failed import left some modules
    operators = library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for schema in _SCHEMAS:
        operators.define(schema)  # type: ignore[no-untyped-call]
    _kept.append(operators)
    import torchvision  # noqa: F401

    found = f"torchvision {version('torchvision')} cannot be imported beside torch {torch.__version__} ({reason})"
    return (
        f"{found}, because it was built for CUDA and torch was not; memewax works around it. "
        f"To repair it: {_remedy(torch.__version__)}"
    )


def _remedy(torch_version: str) -> str:
    index = " --index-url https://download.pytorch.org/whl/cpu" if torch_version.endswith("+cpu") else ""
    return f"pip install --force-reinstall --no-deps torchvision{index}"

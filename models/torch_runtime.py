"""torch and what stands on it, made ready before first use: environment, threads, a torchvision that loads, logging."""

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

# Two habits of torch on a CPU that a stream does not bear. Both are read once, when torch loads.
_READ_AT_IMPORT: Final = {
    # Its threads spin while they wait for each other. Where a broker or another process wants the same cores, one
    # image took 2 s instead of 0.15 s; asleep they cost nothing measurable.
    "OMP_WAIT_POLICY": "PASSIVE",
    # It keeps 1024 compiled kernels, some thirty for every shape of image: OCR of 60 images grew by 2 GB and went
    # on. With 64 it stays where it was, at the same speed.
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64",
}
_SCHEMAS: Final = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_alone: Final = RLock()
_kept: "list[library.Library]" = []
"""torch forgets the operators of a library that is collected."""


class Torch(Engine):
    """Runs models that are torch modules; opens no ONNX graph."""

    name = "torch"
    package = "torch"
    precisions = ("exact", "bf16")


def set_environment() -> None:
    """Set what torch reads as it is imported, except what the environment says already."""
    for name, value in _READ_AT_IMPORT.items():
        os.environ.setdefault(name, value)


def imported_torch() -> ModuleType:
    """The module torch, imported in the environment that it needs: enough for products, models need more."""
    set_environment()
    import torch

    return torch


def cuda_is_there() -> bool:
    """Whether torch sees a CUDA device."""
    return bool(imported_torch().cuda.is_available())


def loaded_torch(options: EngineOptions) -> ModuleType:
    """The module torch, with its threads set."""
    torch = imported_torch()
    torch.set_num_threads(options.threads)
    return torch


@contextmanager
def torch_with_torchvision(options: EngineOptions) -> Iterator[ModuleType]:
    """The module torch, with torchvision importable, for one thread at a time; raises `WorldError` if that cannot be.

    What stands on both imports its parts as they are needed, and these import each other.
    """
    torch = loaded_torch(options)
    with _alone:
        mend_torchvision()
        yield torch


@contextmanager
def loaded_transformers(options: EngineOptions) -> Iterator[ModuleType]:
    """The module transformers, quiet, on torch and torchvision as above, for one thread at a time."""
    with torch_with_torchvision(options):
        import transformers
        from transformers.utils import logging

        logging.set_verbosity_error()  # type: ignore[no-untyped-call] # it remarks on every unused weight
        logging.disable_progress_bar()  # type: ignore[no-untyped-call] # of loads that take no second
        yield transformers


@cache
def mend_torchvision() -> str | None:
    """Make `import torchvision` work where it was built for CUDA and torch was not; say what was wrong, or None.

    Its compiled operators then do not load, and its import ends at two that it describes without asking whether they
    are there. Declaring these two is enough: nothing here calls them. Raises `WorldError` if it cannot be imported for
    another reason.
    """
    torch = imported_torch()
    from torch import library

    try:
        import torchvision
    except Exception as error:  # what is wrong with a compiled package comes as any kind
        if torch.version.cuda is not None or "torchvision::nms" not in str(error):
            raise WorldError(f"torchvision cannot be imported ({error}): {_remedy(torch.__version__)}") from error
        reason = str(error)
    else:
        return None
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]  # half of it stayed behind
    operators = library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for schema in _SCHEMAS:
        operators.define(schema)  # type: ignore[no-untyped-call]
    _kept.append(operators)
    import torchvision  # noqa: F401

    found = f"torchvision {version('torchvision')} cannot be imported beside torch {torch.__version__} ({reason})"
    return (
        f"{found}, since it was built for CUDA and torch was not; memewax works around it. "
        f"To mend it: {_remedy(torch.__version__)}"
    )


def _remedy(torch_version: str) -> str:
    index = " --index-url https://download.pytorch.org/whl/cpu" if torch_version.endswith("+cpu") else ""
    return f"pip install --force-reinstall --no-deps torchvision{index}"

"""What torch needs before anything that stands on it is imported: a torchvision that loads, threads, a device."""

import sys
from typing import TYPE_CHECKING

from core.errors import WorldError
from models.model_settings import RuntimeSettings

if TYPE_CHECKING:
    from torch import library

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_kept: "list[library.Library]" = []
"""torch forgets the operators of a library that is collected."""


def prepare(settings: RuntimeSettings) -> str:
    """Mend torchvision, set torch's threads, and say the device: "cuda" or "cpu".

    To be called before easyocr, transformers or sentence_transformers are imported. Raises `WorldError` if the settings
    ask for a device that is not there.
    """
    import torch

    mend_torchvision()
    torch.set_num_threads(settings.threads_per_model)
    return device_of(settings)


def device_of(settings: RuntimeSettings) -> str:
    """The device that the settings come to, "cuda" or "cpu"; raises `WorldError` if it is not there."""
    import torch

    if settings.device == "cuda" and not torch.cuda.is_available():
        raise WorldError("MEMEWAX_DEVICE = 'cuda', but torch sees no CUDA device; set it to auto or cpu")
    if settings.device == "cpu":
        return "cpu"
    return "cuda" if torch.cuda.is_available() else "cpu"


def mend_torchvision() -> None:
    """Make `import torchvision` work where it was built for CUDA and torch was not.

    Its compiled operators then do not load, and its import ends at two that it describes without asking whether they
    are there. Declaring these two is enough: nothing here calls them.
    """
    import torch
    from torch import library

    try:
        import torchvision
    except RuntimeError as error:
        if torch.version.cuda is not None or "torchvision::nms" not in str(error):
            raise
    else:
        return
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]  # half of it stayed behind
    operators = library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for schema in _SCHEMAS:
        operators.define(schema)  # type: ignore[no-untyped-call]
    _kept.append(operators)
    import torchvision  # noqa: F401

"""The network of an image model as transformers makes it: from pixels to the last hidden state, and to one vector."""

from typing import TYPE_CHECKING, Any

from core.errors import WeightsError
from models.runtime import Runtime
from models.weights import Weights

if TYPE_CHECKING:
    import torch


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
            self.model = getattr(model, "vision_model", model)  # of a pair for images and texts

        def forward(self, pixels: Any) -> Any:
            return self.model(pixel_values=pixels).last_hidden_state

    return Network().eval().to(runtime.device)


def has_cls(network: Any) -> bool:
    """Whether the first token of the hidden state stands for the whole image."""
    return any(name.endswith(("cls_token", "class_embedding")) for name, _ in network.named_parameters())


def pooled(hidden: "torch.Tensor", *, by_cls: bool) -> "torch.Tensor":
    """One vector for each image: its first token, or the mean of its tokens or of its map of features."""
    if hidden.ndim == 4:  # a feature map: batch, channels, height, width
        return hidden.mean(dim=(2, 3))
    return hidden[:, 0] if by_cls else hidden.mean(dim=1)

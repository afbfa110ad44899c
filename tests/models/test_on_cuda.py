"""What models do on CUDA, as far as it can be tested without a GPU."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from core.errors import WorldError
from dataflows.all_settings import Settings
from models.engine import EngineOptions, Plan
from models.engines import graph_engine, plans
from models.runtime import Runtime
from models.tensorrt_runtime import TensorRt
from models.vit import EXACT, VitEmbedder
from models.vit_network import _moved
from models.weights import image_weights
from tests.models.test_vit import ARCHITECTURES, tiny_vit

ON_GPU = EngineOptions("cuda")


class Tensor:
    """Notes what is done with it, as a tensor of torch."""

    def __init__(self) -> None:
        self.done: list[tuple[Any, ...]] = []

    def pin_memory(self) -> "Tensor":
        self.done.append(("pin_memory",))
        return self

    def to(self, device: str, *, non_blocking: bool) -> "Tensor":
        self.done.append(("to", device, non_blocking))
        return self


def test_a_tensor_goes_to_the_gpu_by_pinned_memory() -> None:
    tensor = Tensor()
    assert _moved(tensor, "cpu") is tensor
    assert tensor.done == []
    assert _moved(tensor, "cuda") is tensor
    assert tensor.done == [("pin_memory",), ("to", "cuda", True)]


@pytest.mark.real
def test_batches_are_larger_and_the_largest_is_run_once_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preprocessor, config, _ = ARCHITECTURES["vit"]
    settings = Settings(
        vit=tiny_vit(tmp_path / "tiny", "vit", preprocessor, **config), models_cache=tmp_path / "cache", threads=1
    )
    seen: list[int] = []

    class Network:
        def __call__(self, pixels: Any) -> tuple[None, Any]:
            seen.append(len(pixels))
            return None, np.ones((len(pixels), 4), np.float32)

    monkeypatch.setattr("models.vit.network", lambda *_: Network())
    weights = image_weights(settings)
    assert VitEmbedder(weights, Runtime("cpu"), settings, EXACT).batch_size == 8
    assert seen == [1]
    assert VitEmbedder(weights, Runtime("cuda"), settings, EXACT).batch_size == 64
    assert seen == [1, 64, 1]
    chosen = settings.model_copy(update={"vit_batch": 3})
    assert VitEmbedder(weights, Runtime("cuda"), chosen, EXACT).batch_size == 3


def test_any_gpu_computes_bf16_whatever_the_processor_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.engines.has_instructions_for", lambda precision: precision in {"exact", "fp32"})
    assert Plan("torch", "bf16") in plans("cuda")
    assert Plan("torch", "bf16") not in plans("cpu")


def test_tensorrt_is_an_engine_where_onnx_runtime_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    assert "pip install onnxruntime-gpu tensorrt" in str(TensorRt().why_missing())
    assert not [plan for plan in plans("cuda") if plan.engine == "tensorrt"]
    with pytest.raises(WorldError, match="needs ONNX Runtime with TensorRT"):
        graph_engine("tensorrt")
    there = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: there)
    assert TensorRt().why_missing() is None
    assert Plan("tensorrt", "bf16") in plans("cuda")
    options = dict(TensorRt().providers(Path("folder/model.onnx"), EngineOptions("cuda", 1, "bf16")))
    assert list(options) == there
    assert options[there[0]]["trt_bf16_enable"] == "True"
    assert options[there[0]]["trt_engine_cache_path"] == "folder/tensorrt"  # for the next start


def test_tensorrt_that_computes_nothing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class FellBack:
        def __init__(self, *_: Any, **__: Any) -> None:
            pass

        def get_providers(self) -> list[str]:
            return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    monkeypatch.setattr(onnxruntime, "InferenceSession", FellBack)
    with pytest.raises(WorldError, match="cannot load TensorRT's libraries"):
        TensorRt().session(Path("any.onnx"), ON_GPU)
    with pytest.raises(WorldError, match="needs a CUDA device"):
        TensorRt().session(Path("any.onnx"), EngineOptions("cpu"))

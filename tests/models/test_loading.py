import re
import subprocess
import sys

import pytest

from core.errors import WorldError
from dataflows.all_settings import Settings
from models.loading import Models, load_models
from models.stages import MODEL_STAGES


def test_importing_it_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'transformers', 'easyocr', 'spacy', 'onnx', 'huggingface_hub'}"
    code = f"import sys, models.loading; found = {heavy} & set(sys.modules); assert not found, found"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_models_agree_with_the_sides(fake: Models) -> None:
    assert [fake.of(stage.name).stage for stage in MODEL_STAGES] == [stage.name for stage in MODEL_STAGES]
    alone = (fake.image, fake.ocr, fake.entities, fake.sentiment, fake.text)
    assert [model.stage for model in alone] == ["embedding", "text", "entities", "sentiment", "text_embedding"]
    assert fake.dimensions == {"embedding": 8, "text_embedding": 8}
    assert (fake.image_dimension, fake.text_dimension) == (8, 8)


@pytest.mark.real
def test_real_names_say_which_weights(real: Models) -> None:
    assert re.fullmatch(r"dinov2-small@[0-9a-f]{8}\.[0-9a-f]{8}", real.image.name)
    assert real.text.name.startswith("all-MiniLM-L6-v2@53aa5117.")
    assert (real.image_dimension, real.text_dimension) == (384, 384)


@pytest.mark.real
def test_a_device_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(WorldError, match="MEMEWAX_DEVICE = 'cuda'"):
        load_models(Settings(device="cuda"))


@pytest.mark.real
def test_torchvision_loads(real: Models) -> None:
    import torchvision.transforms.functional

    assert torchvision.transforms.functional.to_pil_image

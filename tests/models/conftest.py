"""Each set of models is loaded once a session; the real ones from the wheels, unpacked into a folder of the session."""

from typing import get_args

import numpy as np
import pytest

from dataflows.all_settings import Settings
from models.loading import Models, load_models, load_text
from models.ocr.arrangement import load_reader
from models.ocr.reader import OcrReader
from models.runtime import Runtime
from tests.models.tiny import Tiny, load_tiny

ARRANGEMENTS: tuple[str, ...] = get_args(Settings.model_fields["ocr"].annotation)


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(models_cache=tmp_path_factory.mktemp("models"), device="cpu", threads=1, precision="exact")


@pytest.fixture(scope="session")
def real(settings: Settings) -> Models:
    return load_models(settings)


@pytest.fixture(scope="session")
def on_torch(settings: Settings) -> Models:
    """The sentence model as it runs where there is CUDA, or where it cannot be written as a graph."""
    return Models(load_text(settings.model_copy(update={"text_engine": "torch"}), Runtime()))


@pytest.fixture(scope="session")
def fake() -> Models:
    return load_models(Settings(models="fake"))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return load_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def readers() -> dict[str, OcrReader]:
    """OCR in each of its arrangements; the detectors look at little, to be quick."""
    each = {
        name: Settings(ocr=name, ocr_canvas=512, device="cpu", threads=1, precision="exact") for name in ARRANGEMENTS
    }  # type: ignore[arg-type]
    return {name: load_reader(settings, Runtime()) for name, settings in each.items()}


@pytest.fixture
def noise() -> np.random.Generator:
    return np.random.default_rng(7)

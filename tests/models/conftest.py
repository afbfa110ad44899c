"""Each set of models is loaded once a session; the real ones from the wheels, unpacked into a folder of the session."""

import numpy as np
import pytest

from memewax.settings import Settings
from models.load import Models, load_models
from tests.models.tiny import Tiny, load_tiny


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(models_cache=tmp_path_factory.mktemp("models"), device="cpu")


@pytest.fixture(scope="session")
def real(settings: Settings) -> Models:
    return load_models(settings)


@pytest.fixture(scope="session")
def stand_in() -> Models:
    return load_models(Settings(models="stand-in"))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return load_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def noise() -> np.random.Generator:
    return np.random.default_rng(7)

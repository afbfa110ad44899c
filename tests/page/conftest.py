"""The page over small stores."""

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.page.stores import aged, app_of, filled, hostile


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return filled(tmp_path_factory.mktemp("page") / "store")


@pytest.fixture(scope="module")
def old_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return aged(tmp_path_factory.mktemp("page") / "store")


@pytest.fixture(scope="module")
def hostile_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hostile(tmp_path_factory.mktemp("page") / "store")


@pytest.fixture(scope="module")
def client(store: Path) -> TestClient:
    return TestClient(app_of(store))


@pytest.fixture(scope="module")
def old_client(old_store: Path) -> TestClient:
    return TestClient(app_of(old_store))


@pytest.fixture(scope="module")
def hostile_client(hostile_store: Path) -> TestClient:
    return TestClient(app_of(hostile_store))


@pytest.fixture
def empty_client(tmp_path: Path) -> TestClient:
    (tmp_path / "store").mkdir()
    return TestClient(app_of(tmp_path / "store"))

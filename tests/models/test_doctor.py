import dataclasses
import json
import os
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from core.errors import WorldError
from dataflows.all_settings import Settings
from memewax.commands.doctor import Diagnosis, diagnose, doctor
from models.weights import ORDER

pytestmark = pytest.mark.real


@pytest.fixture
def app(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    monkeypatch.setitem(os.environ, "MEMEWAX_MODELS_CACHE", str(settings.models_cache))
    app = typer.Typer()
    app.command()(doctor)
    return app


@pytest.fixture(scope="module")
def diagnosis(settings: Settings) -> Diagnosis:
    """What is found where all is well: the same each time, and it takes seconds."""
    return diagnose(settings)


def told(app: typer.Typer, diagnosis: Diagnosis, monkeypatch: pytest.MonkeyPatch) -> str:
    """How it is told to people."""
    monkeypatch.setattr("memewax.commands.doctor.diagnose", lambda _: diagnosis)
    return CliRunner().invoke(app, [], catch_exceptions=False).stdout


def test_json_is_one_object(app: typer.Typer) -> None:
    result = CliRunner().invoke(app, ["--json"])
    report = json.loads(result.stdout)
    assert result.exit_code == 0
    assert [found["stage"] for found in report["weights"]] == [
        "embedding",
        "text",
        "entities",
        "sentiment",
        "text_embedding",
    ]
    assert all(found["size"] > 0 and len(found["sha256"]) == 64 and found["licence"] for found in report["weights"])
    assert report["order"] == list(ORDER)
    assert report["problems"] == []
    assert report["versions"]["bytewax"]
    assert report["onnx_device"] == "cpu"
    assert report["text_engine"] == report["provider"] == "onnx"
    assert report["engines"]["onnx"] is report["engines"]["torch"] is None
    assert [(it["part"], it["plan"]["precision"]) for it in report["choices"]] == [
        ("image model", "exact"),
        ("detector", "exact"),
        ("recogniser", "exact"),
    ]
    assert {it["reason"] for it in report["choices"]} == {"asked for by MEMEWAX_PRECISION"}


def test_the_table_prints_the_order_and_each_model(
    app: typer.Typer, diagnosis: Diagnosis, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = told(app, diagnosis, monkeypatch)
    for word in (
        "setting, cache, wheel, hub",
        "dinov2-small",
        "easyocr",
        "en_core_web_sm",
        "vader",
        "all-MiniLM-L6-v2",
    ):
        assert word in out


def test_a_torchvision_that_is_mended_is_said_and_no_problem(
    app: typer.Typer, diagnosis: Diagnosis, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = "torchvision 1.2 cannot be imported beside torch 3.4 (no nms). To mend it: pip install torchvision"
    monkeypatch.setattr("memewax.commands.doctor.patch_torchvision", lambda: note)
    result = CliRunner().invoke(app, ["--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["notes"] == [note]
    assert note in " ".join(told(app, dataclasses.replace(diagnosis, notes=(note,)), monkeypatch).split())


def test_a_torchvision_that_cannot_be_mended_is_a_problem(app: typer.Typer, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise WorldError("torchvision cannot be imported")

    monkeypatch.setattr("memewax.commands.doctor.patch_torchvision", broken)
    result = CliRunner().invoke(app, ["--json"])
    assert isinstance(result.exception, WorldError)
    assert "torchvision cannot be imported" in json.loads(result.stdout)["problems"]


def test_paths_are_whole_on_a_narrow_screen(
    app: typer.Typer, diagnosis: Diagnosis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    paths = [found.path for found in diagnosis.weights]
    lines = told(app, diagnosis, monkeypatch).splitlines()
    assert paths
    assert {f"    {path}" for path in paths} <= set(lines)


def test_what_is_missing_is_said_beside_what_is_there(app: typer.Typer, tmp_path: Path) -> None:
    found = diagnose(Settings(vit=str(tmp_path / "nowhere"), device="cpu"))
    assert [weights.stage for weights in found.weights] == ["text", "entities", "sentiment", "text_embedding"]
    assert "there is no such folder" in found.problems[0]


def test_what_is_missing_ends_with_3(app: typer.Typer, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["--json"], env={"MEMEWAX_VIT": str(tmp_path / "nowhere")})
    assert isinstance(result.exception, WorldError)
    assert result.exception.exit_code == 3
    assert json.loads(result.stdout)["problems"]

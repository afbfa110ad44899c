"""What is wrong with the settings of a flow is said before anything is loaded."""

import platform
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from connectors.store.posts_table import PostStore
from core import __version__, drain
from dataflows import memes, similarity, starting
from models.stages import stage_names
from tests.factories import embedded_row as row


def no_model(*_: object, **__: object) -> None:
    raise AssertionError("a model was loaded")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "MEMEWAX_SOURCE (or --from) is not set: posts come from"),
        ({"SOURCE": "kafak://h:1/t"}, "'kafak://h:1/t' cannot be used here"),
        ({"SOURCE": "posts.jsonl"}, "no sink: set MEMEWAX_TO"),
        ({"SOURCE": "posts.jsonl", "TO": "abfs://bucket/out"}, "'abfs://bucket/out' cannot be used here"),
        ({"SOURCE": "posts.jsonl", "TO": '["out.jsonl", "kafka:/h/x"]'}, "is not kafka://HOST:PORT/TOPIC"),
        ({"SOURCE": "posts.jsonl", "TO": "out.jsonl", "CLUSTER_EVENTS": "x.csv"}, "cluster events go to"),
    ],
)
def test_an_address_that_cannot_be_is_told_before_a_model_is_loaded(
    settings: dict[str, str], told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(drain, "on_signals", lambda: None)
    monkeypatch.setattr(starting, "load_models", no_model)
    for name, value in settings.items():
        monkeypatch.setenv(f"MEMEWAX_{name}", value)
    with pytest.raises(SystemExit, match="2"):
        memes.flow()
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"SOURCE": "posts.csv.jsonl", "TO": "out.jsonl"}, "holds no JSON in its first lines"),
        ({"SOURCE": "kafka://localhost:1/x", "TO": "out.jsonl"}, "start the broker"),
        ({"SOURCE": "good.jsonl", "TO": "kafka://localhost:1/x"}, "start the broker"),
    ],
)
def test_what_is_not_there_is_told_before_a_model_is_loaded(
    settings: dict[str, str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "posts.csv.jsonl").write_bytes(b"id,url\n")
    (tmp_path / "good.jsonl").write_bytes(b"{}\n")
    monkeypatch.setattr(drain, "on_signals", lambda: None)
    monkeypatch.setattr(starting, "load_models", no_model)
    for name, value in {**settings, "KAFKA_TIMEOUT_SECONDS": "0.5"}.items():
        monkeypatch.setenv(f"MEMEWAX_{name}", value)
    with pytest.raises(SystemExit, match="3"):
        memes.flow()
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    "settings",
    [{}, {"QUERIES": "x.csv"}, {"QUERIES": "q.jsonl", "ANSWERS": "-"}, {"QUERIES": "q.jsonl", "ANSWERS": "s"}],
)
def test_queries_and_answers_too(
    settings: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(drain, "on_signals", lambda: None)
    monkeypatch.setattr(similarity, "load_embedders", no_model)
    for name, value in settings.items():
        monkeypatch.setenv(f"MEMEWAX_{name}", value)
    with pytest.raises(SystemExit, match="2"):
        similarity.flow()
    assert "memewax: " in capsys.readouterr().err


def test_a_store_of_another_model_is_refused_and_not_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "posts.jsonl").touch()
    PostStore(tmp_path / "store", 8, 8).upsert([row("a", 1)])
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr(drain, "on_signals", lambda: None)
    for name, value in {"SOURCE": "posts.jsonl", "TO": "store", "MODELS": "fake"}.items():
        monkeypatch.setenv(f"MEMEWAX_{name}", value if name == "MODELS" else str(tmp_path / value))
    with pytest.raises(SystemExit, match="3"):
        memes.flow()
    told = f"{tmp_path}/store holds vectors of a embedding model, which cannot be compared with those of fake: set"
    assert told in capsys.readouterr().err
    said = {tmp_path / f"store/{it}" for it in ("posts.lock", "status", "status/memes-0.json")}
    assert set(tmp_path.rglob("*")) - said - {tmp_path / "store.dead-letters.jsonl"} <= set(before)


def test_metrics_say_what_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "posts.jsonl").touch()
    monkeypatch.setattr(drain, "on_signals", lambda: None)
    values = {"SOURCE": tmp_path / "posts.jsonl", "TO": tmp_path / "records.jsonl", "MODELS": "fake"}
    for name, value in values.items():
        monkeypatch.setenv(f"MEMEWAX_{name}", str(value))
    memes.flow()
    version = {"version": __version__, "python": platform.python_version()}
    assert REGISTRY.get_sample_value("memewax_build_info", version) == 1
    for stage in stage_names():
        labels = {"stage": stage, "model": "fake", "engine": "none"}
        assert REGISTRY.get_sample_value("memewax_model_info", labels) == 1

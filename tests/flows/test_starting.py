"""What is wrong with the settings of a flow is said before anything is loaded."""

import pytest

from core import drain
from dataflows import memes, similarity, starting


def no_model(*_: object, **__: object) -> None:
    raise AssertionError("a model was loaded")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "posts come from nowhere: set MEMEWAX_SOURCE"),
        ({"SOURCE": "kafak://h:1/t"}, "not from 'kafak://h:1/t'"),
        ({"SOURCE": "posts.jsonl"}, "no sink: set MEMEWAX_TO"),
        ({"SOURCE": "posts.jsonl", "TO": "s3://bucket/out"}, "not to 's3://bucket/out'"),
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

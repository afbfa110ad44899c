"""The rendered dataflow is the diagram that the module shows."""

import re
from pathlib import Path

import pytest
from bytewax.dataflow import Dataflow

import dataflows.memes
from dataflows.all_settings import Settings
from dataflows.memes import memes
from models.clusterer import FakeClusterer
from models.loading import load_models
from tests.brokers import MockBroker

DIAGRAM = (dataflows.memes.__doc__ or "").partition("::")[2].partition("Run it")[0]
BOXES = set(re.findall(r"[a-z_]+", re.sub(r"\(.*\)|if enabled.*|failures", "", DIAGRAM)))
"""What the diagram shows, but for remarks in brackets and the taps, which are there where they are asked for."""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "posts.jsonl").touch()
    return {"source": "posts.jsonl", "to": "store", "models": "fake"}


def built(settings: dict[str, str]) -> Dataflow:
    given = Settings(**settings)  # type: ignore[arg-type]
    return memes(given, load_models(given), FakeClusterer)


def boxes(flow: Dataflow) -> list[str]:
    return [step.step_id.removeprefix("memes.") for step in flow.substeps]


def test_the_steps_of_the_flow_are_the_boxes_of_its_diagram(settings: dict[str, str]) -> None:
    assert sorted(boxes(built(settings))) == sorted(BOXES)
    assert {"posts", "join", "write", "dead_letters"} <= BOXES


def test_taps_are_a_box_where_they_are_asked_for(settings: dict[str, str]) -> None:
    broker = MockBroker()
    assert set(boxes(built({**settings, "taps": f"kafka://{broker.bootstrap}"}))) == BOXES | {"taps"}

"""A store and a recovery folder whose vectors are another model's are refused in a line."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from connectors.store.posts_table import PostStore
from core.errors import WorldError
from dataflows.all_settings import Settings
from memewax.commands.recovery import prepare_recovery
from models import weights
from operators.model_check import FILE, check_model_names, check_models
from tests.factories import embedded_row as row


class Labelled(NamedTuple):
    """Weights of which only the name is asked."""

    label: str


NOW = {"embedding": "vit@11.22", "text_embedding": "words@33.44"}


@pytest.fixture
def recovery(tmp_path: Path) -> Path:
    """A recovery folder with a snapshot."""
    folder = tmp_path / "recovery"
    prepare_recovery(folder)
    with closing(sqlite3.connect(folder / "part-0.sqlite3")) as database, database:
        database.execute("INSERT INTO snaps (step_id, state_key, snap_epoch) VALUES ('memes.join.wait', '0', 1)")
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store whose first row has no vectors."""
    folder = tmp_path / "store"
    posts = PostStore(folder, 8, 8)
    posts.upsert([{**row("a", None), "models": {}, "embeddings": None}])
    posts.upsert([{**row("b", 1), "models": NOW}])
    return folder


@pytest.mark.parametrize(("stage", "setting"), [("embedding", "VIT"), ("text_embedding", "TEXT_MODEL")])
def test_another_model_is_refused_and_nothing_is_noted(stage: str, setting: str, store: Path, recovery: Path) -> None:
    check_models([store], recovery, NOW)
    noted = (recovery / FILE).read_bytes()
    for name in ("other@55.66", "vit@11.99" if stage == "embedding" else "words@33.99"):
        told = f"holds vectors of {NOW[stage]}, which cannot be compared with those of {name}: set MEMEWAX_{setting}"
        for stores, folder in (([store], None), ([], recovery)):
            with pytest.raises(WorldError, match=told):
                check_models(stores, folder, {**NOW, stage: name})
    assert (recovery / FILE).read_bytes() == noted


def test_a_model_that_is_called_otherwise_is_refused_before_it_is_loaded(
    recovery: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_models([], recovery, {"embedding": "dinov2-small@11.22", "text_embedding": "all-MiniLM-L6-v2@33.44"})
    check_model_names(recovery, Settings())  # the same names: what they stand for is seen when they are loaded
    with pytest.raises(WorldError, match=r"those of fake: set MEMEWAX_MODELS"):
        check_model_names(recovery, Settings(models="fake"))
    hashes = {"one/vit": "55", "my/vit": "11"}
    monkeypatch.setattr(weights, "image_weights", lambda settings: Labelled(f"{settings.vit}@{hashes[settings.vit]}"))
    check_model_names(recovery, Settings(vit="my/vit"))
    with pytest.raises(
        WorldError, match=r"holds vectors of dinov2-small@11\.22, .* those of one/vit@55: set MEMEWAX_VIT"
    ):
        check_model_names(recovery, Settings(vit="one/vit"))


def test_a_recovery_folder_of_an_earlier_version_is_noted_at_its_next_start(recovery: Path) -> None:
    check_models([], recovery, NOW)
    with pytest.raises(WorldError, match="holds vectors of vit@11"):
        check_models([], recovery, {"embedding": "other@55.66", "text_embedding": "words@33.44"})


def test_a_start_that_wrote_nothing_binds_nobody(tmp_path: Path) -> None:
    folder = tmp_path / "recovery"
    prepare_recovery(folder)
    PostStore(tmp_path / "store", 8, 8)
    for models in (NOW, {**NOW, "embedding": "other@55.66"}):
        check_models([tmp_path / "store", tmp_path / "none"], folder, models)


def test_what_does_not_tell_is_said(recovery: Path) -> None:
    (recovery / FILE).write_text("no JSON")
    with pytest.raises(WorldError, match=r"models\.json does not say which models there are: restore it"):
        check_models([], recovery, NOW)

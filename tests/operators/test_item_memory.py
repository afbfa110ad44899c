"""Results are found again as long as what they depend on is the same, and not when it is not."""

from pathlib import Path
from typing import Any

import pytest

from connectors.caching import cached_results
from connectors.caching.cached_results import IMAGE, CachedResults
from core import __version__
from dataflows.all_settings import Settings
from models.stages import MODEL_STAGES
from operators.item_memory import open_item_memory
from tests.flows.pixels_flow import pixel_models

STAGES = {IMAGE, *(stage.name for stage in MODEL_STAGES)}
OF_IMAGES = {IMAGE, "embedding", "text"}


def keys(folder: Path, **changed: Any) -> dict[str, bytes]:
    """Under which results stand, by stage."""
    settings = Settings(
        source=("posts.jsonl",), to=(str(folder / "store"),), cache_folder=folder / "cache", models="real"
    ).model_copy(update=changed)
    models = pixel_models()
    if "model" in changed:
        models.of("text").name = changed["model"]
    cached = open_item_memory(settings, settings, models).cached
    assert isinstance(cached, CachedResults)
    found = {stage: cached._key(stage, b"subject") for stage in STAGES}
    cached.close()
    return found


@pytest.mark.parametrize(
    ("changed", "stages"),
    [
        ({"fetch_max_side": 500}, OF_IMAGES),
        ({"fetch_max_pixels": 10_000}, OF_IMAGES),
        ({"thumbnail_side": 64}, {IMAGE}),
        ({"ocr_canvas": 640}, {"text"}),
        ({"truecase": False}, {"entities"}),
        ({"model": "pixel-reader@other"}, {"text"}),
        ({"precision": "exact", "threads": 7, "device": "cpu"}, set()),
        ({"vit_batch": 3, "text_batch": 3, "text_engine": "onnx", "models_cache": Path("elsewhere")}, set()),
        ({"cache_bytes": 10**7, "read_batch": 3, "fetch_concurrency": 3}, set()),
    ],
    ids=lambda it: ",".join(sorted(it)) or "nothing",
)
def test_what_a_result_depends_on(tmp_path: Path, changed: dict[str, Any], stages: set[str]) -> None:
    before, after = keys(tmp_path), keys(tmp_path, **changed)
    assert {stage for stage in STAGES if before[stage] != after[stage]} == stages


def test_another_version_finds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = keys(tmp_path)
    monkeypatch.setattr(cached_results, "__version__", f"{__version__}.1")
    after = keys(tmp_path)
    assert not set(before.values()) & set(after.values())

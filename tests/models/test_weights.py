"""The one order in which weights are looked for, and what is said where they are not there or not right."""

import hashlib
import re
from pathlib import Path

import huggingface_hub.constants
import pytest

from core.errors import WeightsError
from dataflows.all_settings import Settings
from models import catalogue as known
from models import weights
from models.catalogue import ModelFacts, Wheel
from models.hub import downloaded
from models.identity import is_same

CONTENT = {"config.json": b"{}", "model.safetensors": b"weights"}


def _write(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name, content in CONTENT.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with weights, installed and pinned; its folder."""
    folder = _write(tmp_path / "site" / "tiny_wheel" / "model")
    (folder.parent / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path / "site")
    pins = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}
    facts = ModelFacts("MIT", "a card", Wheel("tiny-wheel==1.0", "tiny_wheel", "model", pins), "org/tiny", 4)
    monkeypatch.setattr(known, "SENTENCE_MODELS", {"tiny": facts})
    return folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hugging Face cache."""
    folder = tmp_path / "hub"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder))
    return folder


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")


def _into_cache(cache: Path) -> Path:
    repository = cache / "models--org--tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc")
    return _write(repository / "snapshots" / "abc")


def tiny(text_model: str = "tiny") -> weights.Weights:
    return weights.text_weights(Settings(text_model=text_model))


def test_a_folder_in_the_settings_is_first(tmp_path: Path, cache: Path, wheel: Path) -> None:
    _into_cache(cache)
    folder = _write(tmp_path / "mine")
    found = tiny(str(folder))
    assert (found.origin, found.path, found.id) == ("setting", folder, "mine")


def test_then_the_cache(cache: Path, wheel: Path) -> None:
    folder = _into_cache(cache)
    found = tiny()
    assert (found.origin, found.path) == ("cache", folder)


def test_a_download_cut_short_is_passed_over(cache: Path, wheel: Path) -> None:
    (_into_cache(cache) / "model.safetensors").unlink()
    assert tiny().origin == "wheel"


def test_then_the_wheel(cache: Path, wheel: Path) -> None:
    found = tiny()
    expected = hashlib.sha256(CONTENT["model.safetensors"]).hexdigest()
    assert (found.origin, found.path, found.size, found.sha256) == ("wheel", wheel, 7, expected)
    assert found.label == f"tiny@{expected[:8]}.{hashlib.sha256(CONTENT['config.json']).hexdigest()[:8]}"
    assert (found.licence, found.dimension) == ("MIT", 4)


def test_another_place_or_name_is_the_same_model_and_another_preparation_is_not(
    tmp_path: Path, cache: Path, wheel: Path
) -> None:
    moved = _write(tmp_path / "moved")
    (moved / "README.md").write_text("Says nothing of inputs.")
    assert is_same(tiny(str(moved)).label, tiny().label)
    (moved / "tokenizer.json").write_text("{}")
    assert not is_same(tiny(str(moved)).label, tiny().label)
    (moved / "tokenizer.json").unlink()
    (moved / "model.safetensors").write_bytes(b"other weights")
    assert not is_same(tiny(str(moved)).label, tiny().label)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("a@12.34", "b@12.34", True),
        ("a@12.34", "a@12.35", False),
        ("a@12", "a@12.34", True),  # of an earlier version
        ("org/a-1.0@12", "org/a-1.0@13.34", False),
        ("fake", "a@12.34", False),
        ("", "a@12.34", True),
    ],
)
def test_the_identity_is_what_the_name_ends_in(one: str, other: str, same: bool) -> None:
    assert is_same(one, other) is same
    assert is_same(other, one) is same


def test_then_the_hub(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def download(repository: str) -> Path:
        asked.append(repository)
        return _write(tmp_path / "fetched")

    monkeypatch.setattr(weights, "downloaded", download)
    assert tiny("org/other").origin == "hub"
    assert asked == ["org/other"]


def test_a_changed_file_in_the_wheel_is_refused(cache: Path, wheel: Path) -> None:
    (wheel / "model.safetensors").write_bytes(b"other weights")
    with pytest.raises(WeightsError, match=r"model\.safetensors has SHA-256 .*force-reinstall tiny-wheel==1\.0"):
        tiny()


def test_a_missing_file_in_the_wheel_is_named(cache: Path, wheel: Path) -> None:
    (wheel / "config.json").unlink()
    with pytest.raises(WeightsError, match=r"config\.json: No such file"):
        tiny()


@pytest.mark.usefixtures("no_hub")
def test_nowhere_says_what_to_install_and_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = Wheel("tiny-wheel==1.0", "no_such_package", "model", {})
    monkeypatch.setattr(known, "SENTENCE_MODELS", {"tiny": ModelFacts("MIT", "a card", missing)})
    with pytest.raises(WeightsError) as caught:
        tiny()
    assert "pip install tiny-wheel==1.0, or set MEMEWAX_TEXT_MODEL to a folder" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("no_hub")
def test_a_hub_out_of_reach_is_said_at_once() -> None:
    with pytest.raises(WeightsError, match="cannot download org/other"):
        downloaded("org/other")


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "~/nowhere-at-all"])
def test_a_path_that_is_no_folder_is_not_asked_of_the_hub(name: str) -> None:
    with pytest.raises(WeightsError, match=r"MEMEWAX_TEXT_MODEL = .* there is no such folder"):
        tiny(name)


def test_a_folder_without_weights_is_said(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="holds no weights"):
        tiny(str(tmp_path))


@pytest.mark.parametrize("engine", known.OCR_ENGINES)
def test_ocr_weights_of_a_folder_are_checked_too(tmp_path: Path, engine: str) -> None:
    first, *_ = files = list(known.OCR_ENGINES[engine].wheel.sha256)
    for name in files:
        (tmp_path / name).write_bytes(b"something else")
    with pytest.raises(WeightsError, match=rf"{re.escape(first)} has SHA-256"):
        weights.ocr_weights(Settings(ocr_weights=str(tmp_path)), engine)


def test_pins_are_hashes() -> None:
    for facts in (known.DINOV2, known.EASYOCR, known.PPOCR, known.EN_CORE_WEB_SM, known.MINILM, known.VADER):
        assert facts.wheel.sha256
        assert all(len(bytes.fromhex(pin)) == 32 for pin in facts.wheel.sha256.values())

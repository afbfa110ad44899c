"""What models compute on: made of settings, needed by every model, and the only place with switches for a process."""

import ast
import inspect
import os
import pkgutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pydantic import ValidationError

import models
from core.errors import SettingsError, WorldError
from dataflows.all_settings import Settings
from models import engines
from models.base import Model
from models.engine import EngineOptions, GraphEngine, Read, Session
from models.engines import engine_names, graph_engine
from models.loading import Models, load_ocr, load_text
from models.ocr.parts import Detector, Recogniser
from models.runtime import Runtime
from models.sentiment import VaderSentiment
from models.text_graph import GRAPH
from models.text_onnx import OnnxSentenceEmbedder
from tests.folders import ROOT

MODULES = [found.name for found in pkgutil.walk_packages(models.__path__, "models.") if "clusterer" not in found.name]
HEAVY = {"torch", "torchvision", "transformers", "sentence_transformers", "easyocr", "spacy"}
ENVIRONMENT = ("OMP_WAIT_POLICY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY")
NOTHING_TO_COMPUTE_ON = {VaderSentiment}
"""A lexicon and rules in Python."""


def computing() -> list[type]:
    """Every class of models that computes with a library: not those of tests, fakes and what they inherit from."""
    for name in MODULES:
        import_module(name)
    found: list[type] = []
    waiting: list[type] = [Model, Detector, Recogniser]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if kind.__module__ in MODULES and not inspect.isabstract(kind) and kind.__module__ != "models.fake_models":
            found.append(kind)
    return [kind for kind in dict.fromkeys(found) if kind not in NOTHING_TO_COMPUTE_ON]


COMPUTING = computing()


def test_it_is_made_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert Runtime.of(Settings(device="cpu", processes=4)) == Runtime("cpu", 2, "exact", "onnx")
    assert Runtime.of(Settings(device="cpu", threads=3, provider="onnx")).threads == 3


def test_stand_ins_compute_on_the_cpu_whatever_is_asked_for() -> None:
    assert Runtime.of(Settings(models="fake", device="cuda")).device == "cpu"


@pytest.mark.parametrize(("there", "device"), [(True, "cuda"), (False, "cpu")])
def test_auto_is_cuda_where_it_is_there(monkeypatch: pytest.MonkeyPatch, there: bool, device: str) -> None:
    monkeypatch.setattr("models.runtime.cuda_is_there", lambda: there)
    assert Runtime.of(Settings()).device == device


@pytest.mark.parametrize("kind", COMPUTING, ids=lambda kind: kind.__name__)
def test_no_model_is_constructed_without_one(kind: type) -> None:
    given = inspect.signature(kind).parameters
    needed = {name: it.annotation for name, it in given.items() if it.default is inspect.Parameter.empty}
    # The others are made of parts that needed one.
    parts = {"graph", "detector", "recogniser", "model"}
    assert needed.get("runtime") is Runtime or set(needed) & parts
    with pytest.raises(TypeError, match="missing"):
        kind(*[None] * (len(needed) - 1))


def test_every_kind_of_model_was_looked_at() -> None:
    names = {kind.__name__ for kind in COMPUTING}
    assert {"VitEmbedder", "SpacyEntities", "TransformersSentiment", "SentenceEmbedder", "DbDetector"} <= names
    assert {"OnnxSentenceEmbedder", "OcrReader", "StockEasyOcr", "CrnnRecogniser", "CtcRecogniser"} <= names


def test_importing_models_and_search_sets_no_variable_and_brings_no_torch() -> None:
    code = f"""
import os, pkgutil, sys
from importlib import import_module
before = dict(os.environ)
for package in ("models", "search"):
    for found in pkgutil.walk_packages(import_module(package).__path__, package + "."):
        import_module(found.name)
changed = {{name for name in os.environ if os.environ[name] != before.get(name)}} - {{"LD_LIBRARY_PATH"}}  # cv2's
print(sorted(changed), sorted({HEAVY!r} & set(sys.modules)))
"""
    assert _said(code) == "[] []"


@pytest.mark.parametrize(
    "first",
    [
        "from models.runtime import Runtime; from models.model_settings import RuntimeSettings as S; Runtime.of(S())",
        "from models.runtime import Runtime; Runtime().torch()",
        "import numpy; from search.vector_index import cosines; cosines(*[numpy.eye(4, dtype='f4')] * 2)",
    ],
    ids=["settings", "model", "search"],
)
def test_torch_sees_the_environment_that_it_needs(first: str) -> None:
    code = f"""
import os, sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print(*[os.environ.get(name) for name in {ENVIRONMENT!r}])
sys.meta_path.insert(0, Watch())
{first}
"""
    assert _said(code) == "PASSIVE 64"


def test_what_the_environment_says_already_stays() -> None:
    code = "import os; from models.runtime import Runtime; Runtime(); print(os.environ['OMP_WAIT_POLICY'])"
    assert _said(code, OMP_WAIT_POLICY="ACTIVE") == "ACTIVE"


def _said(code: str, **variables: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in ENVIRONMENT} | variables
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, env=environment
    )
    return done.stdout.strip()


def test_only_the_runtime_turns_switches_of_the_whole_process() -> None:
    switches = {"set_num_threads", "setNumThreads", "set_verbosity_error", "disable_progress_bar", "environ"}
    turned = {
        path.name
        for path in (ROOT / "models").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in switches
    }
    assert turned == {"runtime.py", "torch_runtime.py"}


def test_nothing_else_imports_torch() -> None:
    """Whoever needs it asks a runtime, so that it is never imported in another environment."""
    folders = ("core", "models", "connectors", "search", "operators", "dataflows", "memewax")
    importing = set()
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        tree = ast.parse(path.read_text())
        for_types = {
            inner
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
            for inner in ast.walk(node)
        }
        named = [
            name
            for node in ast.walk(tree)
            if node not in for_types and isinstance(node, ast.Import | ast.ImportFrom)
            for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [it.name for it in node.names])
        ]
        if "torch" in {name.partition(".")[0] for name in named}:
            importing.add(path.name)
    assert importing == {"torch_runtime.py"}


def test_opencv_gets_the_threads_of_a_model() -> None:
    before = cv2.getNumThreads()
    try:
        Runtime(threads=3).limit_opencv()
        assert cv2.getNumThreads() == 3
    finally:
        cv2.setNumThreads(before)


class Recording(GraphEngine):
    """Another engine: ONNX Runtime under another name, which tells what it was given."""

    name = "recording"
    package = "numpy"
    precisions = ("exact",)

    def __init__(self) -> None:
        self.opened: list[tuple[str, EngineOptions]] = []
        self.runs = 0

    def session(self, file: Path, options: EngineOptions) -> Session:
        self.opened.append((file.name, options))
        opened, engine = graph_engine("onnx").session(file, options), self

        class Counting:
            inputs = opened.inputs

            def run(self, tensors: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
                engine.runs += 1
                return opened.run(tensors)

            def read(self, tensors: Mapping[str, NDArray[Any]], reader: Callable[[list[NDArray[Any]]], Read]) -> Read:
                return reader(self.run(tensors))

        return Counting()


@pytest.fixture
def another(monkeypatch: pytest.MonkeyPatch) -> Recording:
    engine = Recording()
    monkeypatch.setattr(engines, "ENGINES", (*engines.ENGINES, engine))
    return engine


@pytest.mark.real
def test_another_engine_opens_every_graph(real: Models, settings: Settings, another: Recording) -> None:
    runtime = Runtime().on("recording")
    image = Image.new("RGB", (360, 80), "white")
    ImageDraw.Draw(image).text((20, 20), "HOLIDAY", fill="black", font=ImageFont.load_default(32))
    assert load_ocr(settings, runtime).one(np.asarray(image)).as_read == "HOLIDAY"
    assert another.runs == 2
    model = load_text(settings, runtime)
    assert isinstance(model, OnnxSentenceEmbedder)
    assert model.engine == "recording"
    np.testing.assert_allclose(model.one("a text"), real.text.one("a text"), atol=1e-6)
    assert [name for name, _ in another.opened][-1] == GRAPH
    assert [options for _, options in another.opened] == [runtime] * 3
    assert another.runs > 3


@pytest.mark.real
def test_the_sentence_model_runs_on_the_engine_that_is_named(settings: Settings, real: Models) -> None:
    assert real.text
    for name in ("onnx", "torch"):
        assert load_text(settings.model_copy(update={"text_engine": name}), Runtime()).engine == name  # type: ignore[attr-defined]


def test_an_engine_that_is_not_installed_is_said(another: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Recording, "package", "no_such_package")
    with pytest.raises(WorldError, match="'recording' needs the package no_such_package: pip install"):
        Runtime().on("recording")
    assert Runtime().provider == "onnx"


def test_an_engine_that_opens_no_graphs_is_said() -> None:
    with pytest.raises(SettingsError, match="no engine 'torch' opens ONNX graphs; expected one of onnx, openvino"):
        graph_engine("torch")


@pytest.mark.parametrize(("setting", "value"), [("text_engine", "abacus"), ("provider", "torch")])
def test_settings_name_the_engines_that_there_are(setting: str, value: str) -> None:
    with pytest.raises(ValidationError, match="expected auto or one of onnx"):
        Settings(**{setting: value})
    assert {Settings(text_engine=name).text_engine for name in ("auto", *engine_names())} == {
        "auto",
        "onnx",
        "openvino",
        "tensorrt",
        "torch",
    }


def _torchvision(folder: Path, body: str) -> str:
    """Say what becomes of a torchvision that does this when it is imported."""
    (folder / "torchvision.py").write_text(body)
    code = """
import torch
torch.version.cuda = None
from core.errors import WorldError
from models.torch_runtime import patch_torchvision
try:
    print(patch_torchvision() == patch_torchvision(), patch_torchvision())
    import torchvision
except WorldError as error:
    print("WorldError", error)
"""
    return _said(code, PYTHONPATH=f"{folder}{os.pathsep}{ROOT}")


@pytest.mark.real
def test_a_torchvision_for_cuda_beside_a_torch_without_is_mended_and_told(tmp_path: Path) -> None:
    body = "import torch\nif not hasattr(torch.ops.torchvision, 'nms'):\n    raise RuntimeError('no torchvision::nms')"
    told = _torchvision(tmp_path, body)
    assert told.startswith("True torchvision ")
    assert "(no torchvision::nms)" in told
    assert "pip install --force-reinstall --no-deps torchvision" in told


@pytest.mark.real
def test_a_torchvision_that_loads_is_left_alone(tmp_path: Path) -> None:
    assert _torchvision(tmp_path, "") == "True None"


@pytest.mark.real
def test_a_torchvision_that_is_broken_otherwise_is_said(tmp_path: Path) -> None:
    told = _torchvision(tmp_path, "raise OSError('libpng is not there')")
    assert told.startswith("WorldError torchvision cannot be imported (libpng is not there): pip install")

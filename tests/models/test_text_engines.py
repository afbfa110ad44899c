"""The sentence model as a graph: the same vectors as on torch, or torch itself where there can be no graph."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from dataflows.all_settings import Settings
from models.loading import Models, load_text
from models.runtime import Runtime
from models.text_graph import TextGraph
from models.text_onnx import OnnxSentenceEmbedder, graph_folder
from models.text_torch import SentenceEmbedder
from models.weights import text_weights
from tests.models.tiny import save_tiny

pytestmark = pytest.mark.real

TEXTS = ["", "one", "A sentence of some length, with a 😀 and 日本語.", "word " * 400, "x" * 10_000]


def tiny_sentences(folder: Path, **config: object) -> Settings:
    """A sentence model of random weights, as sentence-transformers saves it."""
    with Runtime().transformers():
        pass  # it is loaded as it must be
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer

    save_tiny(folder / "bert", "TokenClassification", {0: "O", 1: "X"})
    words = Transformer(str(folder / "bert"), max_seq_length=48)
    SentenceTransformer(modules=[words, Pooling(32, "mean")], **config).save(str(folder / "model"))
    return Settings(text_model=str(folder / "model"), models_cache=folder / "cache", device="cpu", threads=1)


def test_both_give_the_same_vectors(real: Models, on_torch: Models) -> None:
    assert isinstance(real.text, OnnxSentenceEmbedder)
    assert isinstance(on_torch.text, SentenceEmbedder)
    assert real.text.name == on_torch.text.name
    np.testing.assert_allclose(np.stack(real.text.infer(TEXTS)), np.stack(on_torch.text.infer(TEXTS)), atol=2e-6)


def test_a_text_s_vector_does_not_depend_on_its_neighbours(real: Models) -> None:
    np.testing.assert_allclose(real.text.infer(TEXTS), [real.text.one(text) for text in TEXTS], atol=2e-6)


def test_any_model_becomes_a_graph(tmp_path: Path) -> None:
    settings = tiny_sentences(tmp_path)
    as_graph, by_torch = (
        load_text(settings, Runtime()),
        load_text(settings.model_copy(update={"text_engine": "torch"}), Runtime()),
    )
    assert isinstance(as_graph, OnnxSentenceEmbedder)
    texts = ["a cat", "the cat sat on a mat " * 9, ""]
    np.testing.assert_allclose(as_graph.infer(texts), by_torch.infer(texts), atol=1e-5)


def test_a_model_that_pools_otherwise_gets_another_graph(tmp_path: Path) -> None:
    settings = tiny_sentences(tmp_path)
    by_mean = load_text(settings, Runtime()).one("a cat")
    config = tmp_path / "model" / "1_Pooling" / "config.json"
    config.write_text(config.read_text().replace('"mean"', '"cls"'))
    by_cls, by_torch = (
        load_text(settings, Runtime()),
        load_text(settings.model_copy(update={"text_engine": "torch"}), Runtime()),
    )
    assert isinstance(by_cls, OnnxSentenceEmbedder)
    assert np.abs(by_cls.one("a cat") - by_mean).max() > 0.01
    np.testing.assert_allclose(by_cls.one("a cat"), by_torch.one("a cat"), atol=1e-5)


def torch_stands_in(settings: Settings, reason: str) -> None:
    with capture_logs() as logs:
        model = load_text(settings, Runtime())
    assert isinstance(model, SentenceEmbedder)
    assert reason in logs[0]["reason"]


def test_a_model_with_a_prompt_stays_on_torch(tmp_path: Path) -> None:
    settings = tiny_sentences(tmp_path, prompts={"query": "query: "}, default_prompt_name="query")
    torch_stands_in(settings, "puts a prompt before each text")


def test_a_graph_that_gives_other_vectors_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = tiny_sentences(tmp_path)
    infer = SentenceEmbedder.infer
    monkeypatch.setattr(SentenceEmbedder, "infer", lambda self, batch: [-vector for vector in infer(self, batch)])
    torch_stands_in(settings, "gives other vectors")
    assert not any((tmp_path / "cache").iterdir())


def test_a_graph_that_does_not_run_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(self: TextGraph, texts: list[str]) -> None:
        raise RuntimeError("knows one length only")

    monkeypatch.setattr(TextGraph, "__call__", refuses)
    torch_stands_in(tiny_sentences(tmp_path), "knows one length only")
    assert not any((tmp_path / "cache").iterdir())


def test_a_damaged_graph_is_not_used(tmp_path: Path) -> None:
    settings = tiny_sentences(tmp_path)
    (graph_folder(text_weights(settings), settings, Runtime()) / "tokenizer.json").write_text(json.dumps({}))
    torch_stands_in(settings, "is damaged")


def test_where_nothing_can_be_kept_torch_is_used(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings = tiny_sentences(tmp_path).model_copy(update={"models_cache": tmp_path / "file" / "cache"})
    torch_stands_in(settings, "set MEMEWAX_MODELS_CACHE")


def test_a_graph_that_is_there_needs_no_transformers(real: Models, settings: Settings) -> None:
    assert real.text
    code = f"""
import sys
from dataflows.all_settings import Settings
from models.loading import load_text
from models.runtime import Runtime
settings = Settings(models_cache={str(settings.models_cache)!r}, device="cpu")
load_text(settings, Runtime.of(settings)).one("a text")
found = {{"torch", "transformers", "sentence_transformers", "torchvision"}} & set(sys.modules)
assert not found, found
"""
    subprocess.run([sys.executable, "-c", code], check=True)

"""`memewax eval`, with models that answer without looking."""

import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from memewax.commands.app import main
from memewax.commands.eval import app
from models.stage import Stage
from models.stages import MODEL_STAGES
from tests.evaluation.conftest import write_lines, write_posts

Evaluate = Callable[..., Any]


@pytest.fixture
def evaluate(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path) -> Evaluate:
    """`memewax eval` with `--json`, typed in the folder of the data."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MEMEWAX_MODELS", "fake")
    monkeypatch.setattr("memewax.evaluation.measures.RESAMPLES", 40)

    def run(*words: object) -> Any:
        monkeypatch.setattr(sys, "argv", ["memewax", "eval", *map(str, words), "--json"])
        with suppress(SystemExit):  # an error leaves nothing on stdout
            main()
        return orjson.loads(capsys.readouterr().out)

    return run


def test_ocr(evaluate: Evaluate, folder: Path) -> None:
    write_posts(folder, [{"text": "hello paris"}, {"text": "HELLO, Paris!"}, {"text": "hello rome"}, {"text": "x"}])
    (folder / "2.png").write_bytes(b"no image")
    found = evaluate("ocr", "--data", ".", "--limit", 3)["ocr"]
    assert found["n"] == 3
    assert found["wer"] == pytest.approx(2 / 6)
    assert found["cer"] == pytest.approx(10 / 32)
    assert found["word_f1"] == pytest.approx(2 * 4 / (6 + 4))
    assert found["as_is"]["wer"] == pytest.approx(6 / 6)
    assert found["case_folded"]["wer"] == pytest.approx(4 / 6)
    assert len(found["failures"]) == 1
    low, high = found["intervals"]["wer"]
    assert 0 <= low < found["wer"] < high <= 1
    assert found["seconds_per_image"] > 0
    assert found["models"] == {"text": "fake"}
    assert "jiwer" in found["versions"]


def test_entities(evaluate: Evaluate, folder: Path) -> None:
    """The fake names the first word of every text, and says MISC."""
    spans = [
        [{"start": 0, "end": 5, "label": "product"}],
        [{"start": 0, "end": 4, "label": "person"}, {"start": 9, "end": 14, "label": "person"}],
        [],
    ]
    texts = ["Paris is hot", "Anna and Maria", "nobody"]
    write_lines(folder / "a.jsonl", ({"text": text, "entities": it} for text, it in zip(texts, spans, strict=True)))
    found = evaluate("entities", "--data", "a.jsonl")["entities"]
    assert (found["n"], found["span_f1"]) == (3, pytest.approx(2 * 2 / (3 + 3)))
    assert (found["precision"], found["recall"]) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert found["name_f1"] == found["span_f1"]
    assert found["typed_f1"] == pytest.approx(2 * 1 / (3 + 3))
    assert found["options"] == {"casing": "as-is", "line_width": None}
    assert evaluate("entities", "--data", ".", "--casing", "upper", "--limit", 1)["entities"]["span_f1"] == 1
    assert evaluate("entities", "--data", ".", "--line-width", 5)["entities"]["span_f1"] < 1  # "Anna\nand" is one word


def test_sentiment_of_labels(evaluate: Evaluate, folder: Path) -> None:
    """The fake calls everything neutral, which is worth a third."""
    labels = ("positive", "neutral", "neutral", "negative")
    write_lines(folder / "a.jsonl", ({"text": "so", "label": label} for label in labels))
    found = evaluate("sentiment", "--data", "a.jsonl")["sentiment"]
    assert found["macro_recall"] == pytest.approx(1 / 3)
    assert found["recall"] == {"negative": 0, "neutral": 1, "positive": 0}
    assert "spearman" not in found
    assert evaluate("sentiment", "--data", ".", "--limit", 3)["sentiment"]["macro_recall"] == pytest.approx(1 / 2)


def test_sentiment_of_ratings_and_noise(evaluate: Evaluate, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMEWAX_MODELS", "real")
    texts = {"I love this, it is wonderful": 3.1, "I hate this": -2.7, "a table": 0.2, "a good table": 1.5, "bad": -1.9}
    write_lines(folder / "a.jsonl", ({"text": text, "valence": valence} for text, valence in texts.items()))
    found = evaluate("sentiment", "--data", "a.jsonl")["sentiment"]
    assert found["macro_recall"] == 1
    assert found["pearson"] > 0.95
    assert found["spearman"] > 0.85
    noisy = evaluate("sentiment", "--data", "a.jsonl", "--noise", 0.9)["sentiment"]
    assert noisy["noise_cer"] > 0.5
    assert noisy["macro_recall"] < 1


def test_similarity(evaluate: Evaluate, folder: Path) -> None:
    """The fake's vectors are the same for texts of the same length, and orthogonal otherwise."""
    pairs = [("ab", "cd", 5.0), ("ab", "abc", 1.0), ("a", "b", 4.5), ("a", "abcd", 0.5)]
    write_lines(folder / "a.jsonl", ({"a": a, "b": b, "score": score} for a, b, score in pairs))
    found = evaluate("similarity", "--data", "a.jsonl")["similarity"]
    assert found["n"] == 4
    assert found["spearman"] == pytest.approx(0.894, abs=0.001)
    assert found["pearson"] > 0.95


def test_clusters(evaluate: Evaluate, folder: Path) -> None:
    """The fake embeds each image by its number, and puts all of them into one cluster."""
    write_posts(folder, [{"template": "cat"}, {"template": "dog"}, {"text": "no template"}, {"template": "cat"}])
    found = evaluate("clusters", "--data", ".", "--page", "page.html")["clusters"]
    assert found["n"] == 3
    assert found["arrival"] == found["final"]
    quarter = {"bcubed_precision": None, "bcubed_recall": None, "singletons_joined": None}
    cat, dog = (
        quarter | {"bcubed_precision": pytest.approx(2 / 3), "bcubed_recall": 1},
        quarter | {"singletons_joined": 1},
    )
    whole = {"bcubed_precision": pytest.approx(2 / 3), "bcubed_recall": 1, "singletons_joined": 1, "clusters": 1}
    whole |= {"v_measure": 0, "ari": 0, "nmi": 0, "purity": pytest.approx(2 / 3)}
    assert found["final"] == whole | {"quarter_1": cat, "quarter_2": dog, "quarter_3": cat, "quarter_4": quarter}
    assert found["birch"]["clusters"] == 3
    assert found["oracle"]["clusters"] == found["templates"] == 2
    assert found["singletons"] == 1
    assert found["intervals"]["birch"].keys() == {"v_measure", "ari", "nmi", "purity"}
    assert found["intervals"]["final"].keys() == found["final"].keys() - {"clusters"}
    assert found["models"] == {"embedding": "fake", "cluster": "fake"}
    assert (folder / "page.html").read_text().count("<img") == 3


def test_clusters_of_vectors_alone(evaluate: Evaluate, folder: Path) -> None:
    """The fake puts all of them into one cluster."""
    labels = np.array(["cat", "cat", "", "dog", ""])
    np.savez(folder / "a.npz", e=np.eye(5), label=labels, ids=np.array(list("abcde")))
    words = ("clusters", "--embeddings", "a.npz", "--page", "page.html")
    found = evaluate(*words)["clusters"]
    assert (found["n"], found["templates"], found["singletons"]) == (5, 4, 3)
    assert (found["final"]["bcubed_precision"], found["final"]["singletons_joined"]) == (pytest.approx(2 / 5), 1)
    assert "no image" in (folder / "page.html").read_text()
    (folder / "pairs").write_text("a\tc\nc\tb\nc\td\ne\tc\n\ngone\te\n")
    found = evaluate(*words, "--leave-out", "pairs")["clusters"]
    assert found["final"]["bcubed_precision"] == pytest.approx(2 / 4)
    assert found["final"]["singletons_joined"] == pytest.approx(2 / 3)
    found = evaluate(*words, "--orders", 3, "--template-share", 0.5)["clusters"]
    assert (found["n"], found["singletons"]) == (4, 2)


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ((), 2, "--data, or vectors with --embeddings"),
        (("--data", ".", "--embeddings", "good.npz"), 2, "not both"),
        (("--embeddings", "gone.npz"), 3, "gone.npz: No such file"),
        (("--embeddings", "text"), 3, "text is not an .npz file"),
        (("--embeddings", "one.npy"), 3, "not an .npz file"),
        (("--embeddings", "bare.npz"), 3, "no label"),
        (("--embeddings", "objects.npz"), 3, "objects.npz cannot be read"),
        (("--embeddings", "whole.npz"), 3, "e is int64"),
        (("--embeddings", "short.npz"), 3, "label is <U1 of shape (1,)"),
        (("--embeddings", "nan.npz"), 3, "row 1 of e"),
        (("--embeddings", "good.npz", "--leave-out", "gone"), 3, "gone: No such file"),
        (("--embeddings", "good.npz", "--leave-out", "text"), 3, "text, line 1: expected two ids"),
        (("--embeddings", "good.npz", "--template-share", 0.5), 3, "found 2 and 0"),
        (("--embeddings", "good.npz", "--template-share", 2), 2, "template-share"),
    ],
)
def test_what_cannot_be_measured_is_one_line(
    words: tuple[object, ...],
    code: int,
    told: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MEMEWAX_MODELS", "fake")
    Path("text").write_text("neither\n")
    two = np.array(["a", "a"])
    np.save("one.npy", np.eye(2))
    np.savez("bare.npz", e=np.eye(2))
    np.savez("objects.npz", e=np.eye(2), label=np.array(["a", None]))
    np.savez("whole.npz", e=np.eye(2, dtype=np.int64), label=two)
    np.savez("short.npz", e=np.eye(2), label=two[:1])
    np.savez("nan.npz", e=np.array([[1, 0], [1, np.nan]]), label=two)
    np.savez("good.npz", e=np.eye(2), label=two)
    monkeypatch.setattr(sys, "argv", ["memewax", "eval", "clusters", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == code
    assert told in capsys.readouterr().err


def test_saved_runs_are_compared(evaluate: Evaluate, folder: Path) -> None:
    write_posts(folder, [{"text": "hello paris"}, {"text": "hello rome"}])
    for _ in range(2):
        evaluate("ocr", "--data", ".", "--history", "history.jsonl", "--page", "page.html")
    (found,) = evaluate("compare", "--history", "history.jsonl")
    assert found["last"]["kind"] == "ocr"
    assert found["before"]["time"] <= found["last"]["time"]
    assert {change["figure"] for change in found["changes"]} >= {"cer", "wer", "word_f1", "as_is.cer"}
    assert "<mark>Paris</mark>" in (folder / "page.html").read_text()


def test_history_is_in_the_user_s_folder_unless_told(
    evaluate: Evaluate, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(folder / "home"))
    write_posts(folder, [{"text": "hello paris"}])
    evaluate("ocr", "--data", ".", "--save")
    assert len(evaluate("compare")) == 1


@pytest.mark.parametrize(
    ("kind", "line", "told"),
    [
        ("similarity", {"a": "x", "b": "y", "score": "high"}, "score must be a number, found 'high'"),
        ("sentiment", {"text": "x", "valence": "high"}, "valence must be a number, found 'high'"),
        ("sentiment", {"text": "x", "valence": None, "label": None}, "no line with a label"),
        ("entities", {"text": "x", "entities": [[0, 1]]}, "entities must have start, end and label"),
    ],
)
def test_a_line_that_is_broken_is_said(
    kind: str, line: dict[str, Any], told: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("MEMEWAX_MODELS", "fake")
    write_lines(folder / "a.jsonl", [line])
    monkeypatch.setattr(sys, "argv", ["memewax", "eval", kind, "--data", str(folder)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 3
    assert told in capsys.readouterr().err


def test_what_was_not_answered_is_said_beside_the_figures(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MEMEWAX_MODELS", "fake")
    write_posts(folder, [{"text": "hello"}])
    (folder / "0.png").unlink()
    monkeypatch.setattr(sys, "argv", ["memewax", "eval", "ocr", "--data", str(folder)])
    with suppress(SystemExit):
        main()
    assert "1 failed, the first: [Errno 2] No such file" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["ocr", "clusters"])
def test_a_page_that_cannot_be_written_is_said_before_all_else(
    kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["memewax", "eval", kind, "--data", "gone", "--page", "nowhere/page.html"])
    with pytest.raises(SystemExit):
        main()
    assert "there is no folder nowhere" in capsys.readouterr().err


def test_nothing_to_find_and_nothing_found_is_right(evaluate: Evaluate, folder: Path) -> None:
    write_lines(folder / "a.jsonl", [{"text": "", "entities": []}])
    found = evaluate("entities", "--data", "a.jsonl")["entities"]
    assert [found[name] for name in ("span_f1", "precision", "recall")] == [1, 1, 1]


def test_one_item_can_be_measured(evaluate: Evaluate, folder: Path) -> None:
    """What is not defined there is null."""
    write_posts(folder, [{"text": "hello paris", "template": "cat"}])
    write_lines(folder / "pair.jsonl", [{"a": "x", "b": "y", "score": 1}])
    write_lines(folder / "text.jsonl", [{"text": "x", "label": "neutral", "valence": None, "entities": []}])
    assert evaluate("ocr", "--data", ".")["ocr"]["wer"] == 0
    found = evaluate("clusters", "--data", ".")["clusters"]
    for way in ("arrival", "final", "oracle", "birch"):
        expected = {"v_measure": 1, "ari": 1, "nmi": 1, "purity": 1, "clusters": 1}
        assert {name: found[way][name] for name in expected} == expected
    assert (found["final"]["bcubed_precision"], found["final"]["singletons_joined"]) == (None, 0)
    assert evaluate("similarity", "--data", "pair.jsonl")["similarity"]["spearman"] is None
    assert evaluate("sentiment", "--data", "text.jsonl")["sentiment"]["macro_recall"] == 1
    assert evaluate("entities", "--data", "text.jsonl")["entities"]["span_f1"] == 0


def test_an_image_without_text_counts_where_something_is_read_in_it(evaluate: Evaluate, folder: Path) -> None:
    write_posts(folder, [{"text": ""}, {"text": "hello paris"}])
    found = evaluate("ocr", "--data", ".", "--page", "page.html")["ocr"]
    assert (found["n"], found["wer"]) == (2, pytest.approx(2 / 2))
    assert "nothing</span>" in (folder / "page.html").read_text()


@pytest.mark.parametrize("stage", MODEL_STAGES, ids=lambda it: it.name)
def test_a_stage_with_a_model_is_measured_or_says_why_not(stage: Stage) -> None:
    assert stage.model
    assert bool(stage.model.evaluation) != bool(stage.model.why_unmeasured)
    if stage.model.evaluation:
        assert stage.model.evaluation in {command.name for command in app.registered_commands}

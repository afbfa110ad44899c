"""`memewax eval`, with models that answer without looking."""

import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import pytest

from memewax.commands.app import main
from tests.evaluation.conftest import write_posts

Evaluate = Callable[..., dict[str, Any]]


@pytest.fixture
def evaluate(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path) -> Evaluate:
    """`memewax eval` with `--json`, typed in the folder of the data."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MEMEWAX_MODELS", "stand-in")

    def run(*words: object) -> dict[str, Any]:
        monkeypatch.setattr(sys, "argv", ["memewax", "eval", *map(str, words), "--json"])
        with suppress(SystemExit):  # an error leaves nothing on stdout
            main()
        found: dict[str, Any] = orjson.loads(capsys.readouterr().out)
        return found

    return run


def test_ocr(evaluate: Evaluate, folder: Path) -> None:
    write_posts(folder, [{"text": "hello paris"}, {"text": "HELLO, Paris!"}, {"text": "hello rome"}, {"text": "x"}])
    (folder / "2.png").write_bytes(b"no picture")
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
    assert found["models"] == {"text": "stand-in"}
    assert "jiwer" in found["versions"]

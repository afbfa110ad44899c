"""The command, typed in an empty folder."""

import sys
from pathlib import Path

import pytest

from memewax.commands.app import main
from tests.commands.typed import Done, Memewax


@pytest.fixture
def memewax(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Memewax:
    """The command, typed in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEMEWAX_MODELS", "fake")
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["memewax", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        return Done(code, *capfd.readouterr())

    return run

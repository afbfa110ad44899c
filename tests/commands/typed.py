"""A fixture that types a command in an empty folder."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest


@dataclass(frozen=True, slots=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    def summary(self) -> dict[str, Any]:
        assert self.code == 0, self.err
        (line,) = self.out.splitlines()
        found: dict[str, Any] = orjson.loads(line)
        return found


Memewax = Callable[..., Done]


@pytest.fixture
def memewax(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Memewax:
    """The command, typed in an empty folder."""
    from memewax.commands.app import main  # every test would import all commands

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

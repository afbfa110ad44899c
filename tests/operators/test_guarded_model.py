"""A model looks alone at what a process has ended at, and no more at what ended three."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from connectors.fetching.poison_items import PoisonMarks
from core.records import Failure, Pixels
from models.base import Model
from operators.guarded_model import guarded
from tests.folders import ROOT

DARK, LIGHT, DEADLY = (np.full((300, 200, 3), value, np.uint8) for value in (1, 2, 3))


class Brightness(Model[Pixels, float]):
    """How bright an image is."""

    stage = "text"
    name = "brightness"
    batch_size = 8

    def __init__(self, *, is_deadly: bool = False) -> None:
        self.batches: list[int] = []
        self._is_deadly = is_deadly

    def infer(self, batch: Sequence[Pixels]) -> list[float]:
        self.batches.append(len(batch))
        if self._is_deadly and any((it == DEADLY).all() for it in batch):
            os.kill(os.getpid(), signal.SIGKILL)
        return [float(it.mean()) for it in batch]


def looks_in_a_process(folder: Path) -> int:
    code = f"from tests.operators.test_guarded_model import look; look({str(folder)!r})"
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode


def look(folder: str) -> None:
    model = guarded(Brightness(is_deadly=True), PoisonMarks(Path(folder)))
    model([DARK, DEADLY, LIGHT, DARK])


def test_it_is_given_up_after_three_processes(tmp_path: Path) -> None:
    assert [looks_in_a_process(tmp_path) for _ in range(3)] == [-signal.SIGKILL] * 3
    assert looks_in_a_process(tmp_path) == 0
    model = Brightness()
    answers = guarded(model, PoisonMarks(tmp_path))([DARK, DEADLY, LIGHT])
    assert isinstance(answers[1], Failure)
    assert answers[1].reason.startswith("it crashed the process 3 times; delete ")
    assert (answers[0], answers[2]) == (1.0, 2.0)
    assert model.batches == [2], "nobody else is looked at alone"


def test_one_of_many_is_looked_at_alone_and_cleared(tmp_path: Path) -> None:
    looks_in_a_process(tmp_path)
    for batches in ([1, 1, 1], [3]):
        model = Brightness()
        assert guarded(model, PoisonMarks(tmp_path))([DARK, DEADLY, LIGHT]) == [1.0, 3.0, 2.0]
        assert model.batches == batches


@pytest.mark.parametrize("texts", [["", "", "a\ud800"], []])
def test_texts_are_told_apart_whatever_they_are(texts: list[str], tmp_path: Path) -> None:
    class Lengths(Model[str, int]):
        stage, name, batch_size = "entities", "lengths", 8

        def infer(self, batch: Sequence[str]) -> list[int]:
            return [len(it) for it in batch]

    assert guarded(Lengths(), PoisonMarks(tmp_path))(texts) == [len(it) for it in texts]

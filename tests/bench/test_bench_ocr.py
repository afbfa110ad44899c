"""`memewax bench ocr`: the measures and the turns, and a short form on images of our own."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import orjson
import pytest
from PIL import Image
from typer.testing import CliRunner

from core.errors import SettingsError
from core.records import Pixels, Reading
from memewax.bench.bench_ocr import ARRANGEMENTS, STOCK, OcrSample, measure
from memewax.commands.app import app
from memewax.demo.drawing import banner, overlay
from models.base import Model
from tests.factories import LINE


class Watched(Model[Pixels, Reading]):
    """Notes in a common list that it was asked."""

    stage, batch_size = "text", 1

    def __init__(self, name: str, asked: list[str]) -> None:
        self.name = name
        self._asked = asked

    def infer(self, batch: Sequence[Pixels]) -> list[Reading]:
        self._asked.append(self.name)
        if self.name == "broken":
            raise ValueError("no image")
        return [Reading((LINE,))] * len(batch)


def test_readers_take_turns_after_a_first_look() -> None:
    asked: list[str] = []
    readers = {name: Watched(name, asked) for name in "abc"}
    samples = [OcrSample(np.zeros((2, 2, 3), np.uint8), "")] * 4
    turns = list(measure(readers, samples))
    assert "".join(asked) == "abc" + "abc" + "bca" + "cab" + "abc"
    assert [list(turn) for turn in turns] == [["a", "b", "c"]] * 4
    assert all(answer.text == "Hello Paris" and answer.seconds > 0 for turn in turns for answer in turn.values())


def test_a_reader_that_fails_read_nothing() -> None:
    (turn,) = measure({"broken": Watched("broken", [])}, [OcrSample(np.zeros((2, 2, 3), np.uint8), "text")])
    assert turn["broken"].text == ""


@pytest.mark.parametrize("name", ["tesseract", "ppocr@", "ppocr@wide", "@960"])
def test_what_is_no_arrangement_is_said(name: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["bench", "ocr", "--data", str(tmp_path), "--only", name])
    assert isinstance(result.exception, SettingsError)
    assert ARRANGEMENTS[0] in str(result.exception)


@pytest.mark.real
@pytest.mark.filterwarnings("ignore")  # of EasyOCR as it comes
def test_on_images_of_our_own(tmp_path: Path) -> None:
    grey = Image.fromarray(np.tile(np.linspace(60, 160, 200, dtype=np.uint8)[:, None, None], (1, 440, 3)))
    drawn = [
        overlay(grey, "NOBODY ASKED THE CAT", "AND YET HERE WE ARE"),
        banner(grey, "Two tickets to Paris", "One way"),
    ]
    posts = []
    for number, meme in enumerate(drawn):
        meme.image.save(tmp_path / f"{number}.png")
        posts.append({"global_id": f"{number}-us", "url": f"{number}.png", "truth": {"text": "\n".join(meme.lines)}})
    (tmp_path / "posts.jsonl").write_bytes(b"\n".join(map(orjson.dumps, posts)))
    arguments = ["bench", "ocr", "--data", str(tmp_path), "--only", "ppocr", "--only", "ppocr+easyocr@512", "--json"]
    report = json.loads(CliRunner().invoke(app, arguments, catch_exceptions=False).stdout)
    assert report["n"] == 2
    assert list(report["ocr"]) == [STOCK, "ppocr", "ppocr+easyocr@512"]
    assert report["ocr"]["ppocr"]["wer"] == 0
    for figures in report["ocr"].values():
        seconds = figures["seconds_per_image"]
        assert 0 <= figures["cer"] <= 1
        assert 0 <= figures["word_f1"] <= 1
        assert 0 < seconds["lower_quartile"] <= seconds["median"] <= seconds["upper_quartile"]
    assert report["ocr"][STOCK]["time_of_stock"] == 1

"""Lines and images that are read together are read as they are alone, and small letters are looked for again."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from core.records import Pixels
from dataflows.all_settings import Settings
from models.engine import Device, Read
from models.loading import load_ocr
from models.ocr import db
from models.ocr.ctc import CtcRecogniser
from models.ocr.db import DETECTOR_FILE, DbDetector
from models.ocr.onnx import Network
from models.runtime import Runtime
from models.weights import ocr_weights

pytestmark = pytest.mark.real
WORDS = ("WHY", "so much longer a line of words than that", "two words", "me neither", "NO", "a line of some length")


def lines_of(words: Sequence[str], height: int = 32) -> list[Pixels]:
    font = ImageFont.load_default(height)
    images = []
    for text in words:
        image = Image.new("RGB", (round(font.getlength(text)) + 12, height + 14), "white")
        ImageDraw.Draw(image).text((6, 3), text, fill="black", font=font)
        images.append(np.asarray(image))
    return images


@pytest.fixture(scope="module")
def folder() -> Path:
    return ocr_weights(Settings(device="cpu"), "ppocr").path


@pytest.fixture
def shapes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Shapes of what networks are given, in order."""
    seen: list[tuple[int, ...]] = []
    read = Network.read

    def noted(self: Network, tensor: NDArray[np.float32], reader: Callable[[NDArray[np.float32]], Read]) -> Read:
        seen.append(tensor.shape)
        return read(self, tensor, reader)

    monkeypatch.setattr(Network, "read", noted)
    return seen


def test_lines_together_are_read_as_each_alone(folder: Path, shapes: list[tuple[int, ...]]) -> None:
    recogniser = CtcRecogniser(folder, Runtime(), reads_together=True)
    lines = lines_of(WORDS * 2)
    alone = [recogniser.recognise([line])[0] for line in lines]
    shapes.clear()
    together = recogniser.recognise(lines)
    assert [it.text for it in together] == [it.text for it in alone] == list(WORDS * 2)
    np.testing.assert_allclose([it.confidence for it in together], [it.confidence for it in alone], atol=2e-3)
    assert sum(shape[0] for shape in shapes) == len(lines)
    assert len(shapes) < len(lines)
    assert all(shape[0] <= 8 and shape[0] * shape[3] <= max(8 * 320, shape[3]) for shape in shapes)


def test_lines_go_singly_where_they_are_not_read_together(folder: Path, shapes: list[tuple[int, ...]]) -> None:
    found = CtcRecogniser(folder, Runtime()).recognise(lines_of(WORDS))
    assert [it.text for it in found] == list(WORDS)
    assert [shape[0] for shape in shapes] == [1] * len(WORDS)
    assert min(shape[3] for shape in shapes) == 320


def test_no_lines_are_no_texts(folder: Path) -> None:
    assert CtcRecogniser(folder, Runtime(), reads_together=True).recognise([]) == []


def card(*lines: tuple[str, int]) -> Pixels:
    image = Image.new("RGB", (480, 400), "white")
    draw = ImageDraw.Draw(image)
    for place, (text, height) in enumerate(lines):
        draw.text((20, 20 + 90 * place), text, fill="black", font=ImageFont.load_default(height))
    return np.asarray(image)


@pytest.mark.parametrize(
    ("lines", "looks"),
    [
        ([("LARGE LETTERS", 48)], 1),
        ([("LARGE LETTERS", 48), ("and some that are small", 14)], 2),
        ([], 2),
    ],
    ids=["large", "small", "none"],
)
def test_a_second_look_is_for_small_letters(
    lines: list[tuple[str, int]], looks: int, folder: Path, shapes: list[tuple[int, ...]]
) -> None:
    detector = DbDetector(folder / DETECTOR_FILE, Runtime(), 480, looks_twice=True)
    image = card(*lines)
    quads = detector.detect(image)
    assert len(shapes) == looks
    assert shapes[0][3] == 320
    whole = DbDetector(folder / DETECTOR_FILE, Runtime(), 480).detect(image)
    assert len(quads) == len(whole) == len(lines)
    assert shapes[-1][3] == 480


def test_images_of_many_sizes_are_seen_in_few(folder: Path, shapes: list[tuple[int, ...]]) -> None:
    detector = DbDetector(folder / DETECTOR_FILE, Runtime(), 240, looks_twice=True)
    for height in range(100, 150, 5):
        detector.detect(np.full((height, 150, 3), 90, np.uint8))
    assert len(shapes) == 10
    assert {shape[2:] for shape in shapes} == {(128, 128)}


def test_an_image_that_a_first_look_shows_whole_has_one(folder: Path, shapes: list[tuple[int, ...]]) -> None:
    DbDetector(folder / DETECTOR_FILE, Runtime(), 960, looks_twice=True).detect(card(("tiny", 12)))
    assert len(shapes) == 1


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_gpu_sees_several_images_of_one_shape_at_once(
    device: Device, folder: Path, shapes: list[tuple[int, ...]]
) -> None:
    large, small, wide = (
        card(("LARGE", 48)),
        card(("LARGE", 48), ("and some that are small", 14)),
        card(("WIDE", 48))[:240],
    )
    images = [large, wide, small, *[large] * 9, wide, small]
    detector = DbDetector(folder / DETECTOR_FILE, Runtime(device), 480, looks_twice=True)
    found = detector.detect_all(images)
    batches = [shape[0] for shape in shapes]
    # First passes of twelve cards and two wide images, then second ones of the two cards with small letters.
    assert batches == ([8, 4, 2, 2] if device == "cuda" else [1] * 16)
    for image, quads in zip(images, found, strict=True):
        np.testing.assert_allclose(quads, detector.detect(image), atol=1)
    assert detector.detect_all([]) == []


def test_a_gpu_reads_more_lines_at_once(folder: Path, shapes: list[tuple[int, ...]]) -> None:
    lines = lines_of(["two words"] * 40)
    on_gpu = CtcRecogniser(folder, Runtime("cuda"), reads_together=True).recognise(lines)
    assert [shape[0] for shape in shapes] == [32, 8]
    assert {it.text for it in on_gpu} == {"two words"}


def test_a_line_that_stands_upright_is_as_high_as_it_is_wide_across() -> None:
    assert db._height(np.array([[0, 0], [20, 0], [20, 300], [0, 300]], np.float32)) == 20


@pytest.mark.parametrize("precision", ["exact", "fp32"])
def test_images_together_are_read_as_each_alone(
    precision: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.engine_choice._ROUNDS", 1)
    monkeypatch.setattr("models.engine_choice._MOST_ROUNDS", 1)
    monkeypatch.setattr("models.ocr.ocr_engines.trial_images", tuple)
    settings = Settings(precision=precision, ocr_canvas=480, models_cache=tmp_path, device="cpu", threads=1)
    reader = load_ocr(settings, Runtime())
    assert reader.batch_size == (1 if precision == "exact" else 8)
    images = [card(("FIRST", 40), ("of all", 30)), card(), card(("SECOND", 40)), card(("the third", 30))]
    texts = ["FIRST\nof all", "", "SECOND", "the third"]
    assert [it.as_read for it in reader.infer(images)] == texts  # type: ignore[attr-defined]
    assert [reader.one(it).as_read for it in images] == texts

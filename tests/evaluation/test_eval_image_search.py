"""A search by images that is perfect has recall; one that finds nothing, or all, is told."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import WorldError
from memewax.evaluation.eval_image_search import changed, measure_images
from memewax.evaluation.eval_search import left_out


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("images")
    found = {}
    for number in range(40):
        found[f"{number}-a"] = folder / f"{number}.png"
        Image.new("RGB", (60, 40), (number * 6,) * 3).save(found[f"{number}-a"])
    return found


def perfect(data: bytes) -> tuple[Sequence[str], bool]:
    red = np.asarray(Image.open(BytesIO(data))).mean()
    id_ = f"{round(float(red) / 6)}-a"
    return ([], False) if left_out(id_) else ([id_], True)


def test_a_perfect_search_finds_all_and_nothing_where_there_is_nothing(files: dict[str, Path]) -> None:
    figures = {name: it.value for name, it in measure_images(files, perfect).items()}
    assert figures["images.recall_at_1"] == figures["images.mrr"] == figures["images.nothing_found.right"] == 1.0
    assert figures["images.nothing_found.wrong"] == 0.0


def test_one_that_always_finds_something_wrong_is_told(files: dict[str, Path]) -> None:
    figures = {name: it.value for name, it in measure_images(files, lambda _: (["x"], True)).items()}
    assert figures["images.recall_at_5"] == figures["images.nothing_found.right"] == 0.0


def test_too_few_images_are_said(files: dict[str, Path]) -> None:
    with pytest.raises(WorldError, match="too few"):
        measure_images(dict(list(files.items())[:1]), perfect)


@pytest.mark.parametrize(("is_scaled", "size"), [(False, (54, 36)), (True, (38, 25))])
def test_an_image_is_cropped_scaled_and_compressed(
    files: dict[str, Path], is_scaled: bool, size: tuple[int, int]
) -> None:
    made = Image.open(BytesIO(changed(files["0-a"].read_bytes(), np.random.default_rng(1), is_scaled=is_scaled)))
    assert (made.format, made.size) == ("JPEG", size)

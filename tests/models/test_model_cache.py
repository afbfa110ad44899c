from pathlib import Path

import pytest

from core.errors import WeightsError
from models.model_cache import cached_folder


def keep(folder: Path, text: str = "numbers") -> Path:
    def write(draft: Path) -> None:
        (draft / "model").write_text(text)
        (draft / "tokens").write_text("words")

    return cached_folder(folder, ("model", "tokens"), write, what="a model", megabytes=1)


def test_it_is_made_once(tmp_path: Path) -> None:
    first = (keep(tmp_path / "it") / "model").stat()
    again = keep(tmp_path / "it", "other numbers") / "model"
    assert again.stat().st_ino == first.st_ino
    assert again.read_text() == "numbers"


def test_a_second_writer_leaves_what_the_first_wrote(tmp_path: Path) -> None:
    def write(draft: Path) -> None:
        keep(tmp_path / "it", "first")
        (draft / "model").write_text("second")
        (draft / "tokens").write_text("words")

    folder = cached_folder(tmp_path / "it", ("model", "tokens"), write, what="a model", megabytes=1)
    assert (folder / "model").read_text() == "first"
    assert [entry.name for entry in tmp_path.iterdir()] == ["it"]


@pytest.mark.parametrize("name", ["model", "tokens"])
def test_damage_is_found(tmp_path: Path, name: str) -> None:
    (keep(tmp_path / "it") / name).write_text("?")
    with pytest.raises(WeightsError, match=r"is damaged .* delete the folder"):
        keep(tmp_path / "it")


def test_what_could_not_be_made_leaves_nothing(tmp_path: Path) -> None:
    def write(draft: Path) -> None:
        (draft / "model").write_text("half")
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError):
        cached_folder(tmp_path / "it", ("model", "tokens"), write, what="a model", megabytes=1)
    assert list(tmp_path.iterdir()) == []


def test_no_room_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WeightsError, match=r"a model into .*MEMEWAX_MODELS_CACHE to a folder with 1 MB"):
        keep(tmp_path / "file" / "it")

"""Rows in files: what a snapshot says is there, whatever came after it."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import row_log
from core.errors import WorldError
from core.row_log import RowLog

ROW = np.dtype([("number", np.int64), ("text", "S3")])


def rows(*numbers: int) -> np.ndarray:
    made = np.zeros(len(numbers), ROW)
    made["number"] = numbers
    return made


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_log, "SEGMENT", 4)


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    log = RowLog(tmp_path, ROW)
    places = np.concatenate([log.append(rows(*range(start, start + 3))) for start in range(0, 15, 3)])
    assert log.read(places)["number"].tolist() == list(range(15))
    assert log.read(places[::-2])["number"].tolist() == list(range(14, -1, -2))


@given(kept=st.integers(0, 11), more=st.integers(0, 11))
def test_what_came_after_a_mark_is_written_over(kept: int, more: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("log")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_log, "SEGMENT", 4)
        log = RowLog(folder, ROW)
        log.append(rows(*range(kept)))
        mark = log.mark()
        log.append(rows(*[-1] * more))
        log.mark()
        again = RowLog(folder, ROW, mark)
        places = again.append(rows(100, 101))
        again.mark()
        assert len(again) == kept + 2
        assert again.read(np.arange(kept + 2))["number"].tolist() == [*range(kept), 100, 101]
        assert places.tolist() == [kept, kept + 1]


def test_files_that_none_is_needed_of_go_later(tmp_path: Path) -> None:
    log = RowLog(tmp_path, ROW)
    log.append(rows(*range(20)))
    needed = np.array([1, 16, 17, 18, 19])
    assert log.sparse(needed).tolist() == [True, False, False, False, False]
    log.drop_all_but(np.arange(16, 20))
    marks = [log.mark() for _ in range(40)]
    assert sorted(path.stem for path in tmp_path.rglob("*.rows")) == ["00000004"]
    assert RowLog(tmp_path, ROW, marks[-1]).read(np.arange(16, 20))["number"].tolist() == [16, 17, 18, 19]


def test_an_older_snapshot_can_be_gone_on_from_for_a_while(tmp_path: Path) -> None:
    log = RowLog(tmp_path, ROW)
    log.append(rows(*range(8)))
    mark = log.mark()
    log.drop_all_but(np.arange(0))
    for _ in range(5):
        log.mark()
    assert RowLog(tmp_path, ROW, mark).read(np.arange(8))["number"].tolist() == list(range(8))


@pytest.mark.parametrize("damage", ["missing", "short"])
def test_a_log_that_lacks_rows_is_refused(damage: str, tmp_path: Path) -> None:
    log = RowLog(tmp_path, ROW)
    log.append(rows(1, 2))
    mark = log.mark()
    (file,) = tmp_path.rglob("*.rows")
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(WorldError, match="restore it with its recovery folder"):
        RowLog(tmp_path, ROW, mark)

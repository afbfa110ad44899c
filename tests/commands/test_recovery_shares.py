"""Parts of a recovery folder that several machines share: dealt, moved, backed up, and never lost amid it."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from core.errors import SettingsError, WorldError
from core.launch import Launch
from core.row_log import RowLog
from memewax.commands.recovery_command import backup, create, moved, restore
from operators.recovery_check import check_recovery, moving_folder
from operators.recovery_places import parts_of

PARTS = 7
ROW = np.dtype([("number", np.int64)])


@pytest.fixture
def pods(tmp_path: Path) -> Callable[[int], list[Path]]:
    return lambda count: [tmp_path / f"pod-{number}" / "recovery" for number in range(count)]


@pytest.fixture
def two(pods: Callable[[int], list[Path]]) -> list[Path]:
    """Two processes, each part with something of its own."""
    create(pods(2), parts=PARTS)
    for folder in pods(2):
        for part in parts_of(folder):
            with closing(sqlite3.connect(part)) as database:
                database.execute("CREATE TABLE marks (mark TEXT)")
                database.execute("INSERT INTO marks VALUES (?)", (part.name,))
                database.commit()
    return pods(2)


def check_marks(folders: list[Path]) -> None:
    for number, folder in enumerate(folders):
        check_recovery(folder, (number, len(folders)), thorough=True)
        for part in parts_of(folder):
            with closing(sqlite3.connect(part)) as database:
                assert database.execute("SELECT mark FROM marks").fetchall() == [(part.name,)]
    assert sum(len(parts_of(folder)) for folder in folders) == PARTS


def test_from_two_to_three_and_back(two: list[Path], pods: Callable[[int], list[Path]]) -> None:
    identity = (two[0] / "identity").read_text()
    for olds, news in ((2, 3), (3, 1), (1, 2)):
        moved(pods(olds), pods(news))
        check_marks(pods(news))
        assert {(it / "identity").read_text() for it in pods(news)} == {identity}
        assert [it for it in pods(3) if it.exists()] == pods(news)


def test_a_move_that_is_cut_off_at_any_point_goes_on(
    two: list[Path], pods: Callable[[int], list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until it has, no process starts that would miss a part."""
    rename, left = Path.rename, 0

    def cut(self: Path, target: Path) -> Path:
        nonlocal left
        left -= 1
        if left == 0:
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", cut)
    olds, news = pods(2), pods(3)
    cuts = 0
    for cuts in range(1, 100):
        left = cuts
        try:
            moved(olds, news)
        except KeyboardInterrupt:
            if moving_folder(news[0]).exists():
                with pytest.raises(WorldError, match=r"being moved.*`memewax recovery move` again"):
                    check_recovery(news[0], (0, 3))
            left = 0
            moved(olds, news)
            check_marks(news)
        else:
            break
        olds, news = news, olds
        left = 0
        moved(olds, news)
        olds, news = pods(2), pods(3)
    assert cuts > 5


def test_what_is_missing_or_of_another_flow_is_refused(
    two: list[Path], pods: Callable[[int], list[Path]], tmp_path: Path
) -> None:
    other = [tmp_path / "other-0" / "recovery", tmp_path / "other-1" / "recovery"]
    create(other, parts=PARTS)
    with pytest.raises(WorldError, match="belong to several flows"):
        moved([two[0], other[1]], pods(3))
    with pytest.raises(WorldError, match=r"lacks part-3\.sqlite3"):
        moved([*two, other[1]], pods(1))
    with pytest.raises(WorldError, match="cannot be shared by 8 processes"):
        moved(two, pods(8))
    check_marks(two)
    (two[1] / "part-3.sqlite3").unlink()
    with pytest.raises(WorldError, match=r"lacks part-3\.sqlite3"):
        moved(two, pods(3))
    with pytest.raises(WorldError, match="exists already"):
        create(two, parts=PARTS)


def test_of_several_copies_of_a_log_the_one_in_use_goes_along(
    two: list[Path], pods: Callable[[int], list[Path]]
) -> None:
    """Which process goes on from it nobody knows; what others have is older, and may even be longer."""
    log = RowLog(two[0] / "clusters", ROW)
    log.append(np.array([(1,), (2,)], ROW))
    mark = log.mark()
    log.append(np.array([(-1,)] * 9, ROW))
    log.mark()  # lost, since the process is killed before the snapshot
    moved(two, pods(3))
    used = RowLog(pods(3)[2] / "clusters", ROW, mark)
    used.append(np.array([(3,)], ROW))
    mark = used.mark()
    moved(pods(3), pods(1))
    found = RowLog(pods(1)[0] / "clusters", ROW, mark).read(np.arange(3))
    assert found["number"].tolist() == [1, 2, 3]


def test_a_backup_of_several_comes_back_to_another_number(
    two: list[Path], pods: Callable[[int], list[Path]], tmp_path: Path
) -> None:
    backup(two, tmp_path / "copy")
    with pytest.raises(WorldError, match="exists already"):
        restore(tmp_path / "copy", [tmp_path / "new", two[1]])
    new = [tmp_path / "new-0" / "recovery", tmp_path / "new-1" / "recovery", tmp_path / "new-2" / "recovery"]
    restore(tmp_path / "copy", new)
    check_marks(new)
    check_marks(two)


def test_a_process_that_nobody_waits_for_is_told_so() -> None:
    addresses = ("memes-0.memes:9999", "memes-1.memes:9999")
    assert [Launch(number, addresses).share for number in (0, 1)] == [(0, 2), (1, 2)]
    assert Launch().share == (0, 1)
    with pytest.raises(SettingsError, match=r"process number 2 is too high.*an address for each"):
        _ = Launch(2, addresses).share

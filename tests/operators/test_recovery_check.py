"""A recovery folder that cannot be gone on from is one line."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from connectors import writer_locks
from core.errors import BusyError, WorldError
from core.locks import locked
from memewax.commands import recovery, recovery_command
from memewax.commands.recovery import prepare_recovery
from memewax.commands.recovery_command import backup, check, restore, show
from operators.recovery_check import check_recovery
from search import corpus_table


def foreign(folder: Path) -> None:
    (folder / "part-1.sqlite3").unlink()
    with closing(sqlite3.connect(folder / "part-1.sqlite3")) as database, database:
        database.execute("CREATE TABLE mine (a)")


def mixed(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "part-1.sqlite3")) as database, database:
        database.execute("UPDATE parts SET part_count = 9")


def without_the_first(folder: Path) -> None:
    """A flow ran; without its first part a folder that none ran in is half made, and made anew."""
    for part in folder.glob("part-*.sqlite3"):
        with closing(sqlite3.connect(part)) as database, database:
            database.execute("INSERT INTO exs (ex_num, worker_count, resume_epoch) VALUES (0, 1, 1)")
    (folder / "part-0.sqlite3").unlink()


BROKEN: dict[str, Callable[[Path], object]] = {
    "cannot be read": lambda folder: (folder / "part-2.sqlite3").write_bytes(b"no database" * 500),
    "part-2.sqlite3 is a database, but": lambda folder: (folder / "part-2.sqlite3").write_bytes(b""),
    "lacks part-3.sqlite3": lambda folder: (folder / "part-3.sqlite3").unlink(),
    "lacks part-0.sqlite3": without_the_first,
    "but not part of a recovery folder": foreign,
    "parts of several": mixed,
    "written by everyone": lambda folder: folder.chmod(0o777),
    "part-1.sqlite3 can be written by everyone": lambda folder: (folder / "part-1.sqlite3").chmod(0o666),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    prepare_recovery(tmp_path / "recovery")
    return tmp_path / "recovery"


@pytest.mark.parametrize("told", BROKEN)
def test_what_is_broken_is_one_line(told: str, folder: Path) -> None:
    check_recovery(folder, thorough=True)
    BROKEN[told](folder)
    for call in (check_recovery, prepare_recovery, check, show):
        with pytest.raises(WorldError, match=told) as caught:
            call(folder)
        assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_another_users_folder_is_refused(folder: Path) -> None:
    os.chown(folder, 12345, -1)
    with pytest.raises(WorldError, match="another user"):
        check_recovery(folder)


def test_a_host_of_several_may_have_some_parts(folder: Path) -> None:
    for name in ("part-0.sqlite3", "part-2.sqlite3"):
        (folder / name).unlink()
    check_recovery(folder, (1, 2))
    with pytest.raises(WorldError, match=r"lacks part-0\.sqlite3"):
        check_recovery(folder, (0, 2))
    with pytest.raises(WorldError, match=r"holds part-3\.sqlite3 of another of 3 machines: `memewax recovery move`"):
        check_recovery(folder, (1, 3))


def test_a_disk_without_room_is_one_line_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    with pytest.raises(WorldError, match="recovery has no room left: free some"):
        prepare_recovery(tmp_path / "recovery")
    assert list((tmp_path / "recovery").iterdir()) == []


def test_a_backup_comes_back_whole_and_writes_nothing_over(folder: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    (store / "data").write_text("mine")
    backup([folder], tmp_path / "copy", store)
    with pytest.raises(WorldError, match="exists already"):
        backup([folder], tmp_path / "copy", store)
    with pytest.raises(WorldError, match="exists already"):
        restore(tmp_path / "copy", [folder], tmp_path / "new-store")
    with pytest.raises(WorldError, match="has a store"):
        restore(tmp_path / "copy", [tmp_path / "new"])
    restore(tmp_path / "copy", [tmp_path / "new"], tmp_path / "new-store")
    check_recovery(tmp_path / "new", thorough=True)
    assert (tmp_path / "new-store" / "data").read_text() == "mine"


@pytest.mark.parametrize("lock", ["recovery/lock", "store/posts.lock", "store/answers.lock", "store/words.corpus"])
def test_a_backup_while_others_write_is_refused_in_a_line(
    lock: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The flow of the recovery folder, or another that writes the store: its posts, its answers or a corpus."""
    monkeypatch.setattr(recovery, "PATIENCE", 0.1)
    monkeypatch.setattr(writer_locks, "PATIENCE", 0.1)
    store = tmp_path / "store"
    (store / "words.corpus").mkdir(parents=True)
    with locked(tmp_path / lock), pytest.raises(BusyError, match=r"wait (until it ends|until it has ended)"):
        backup([folder], tmp_path / "copy", store)
    assert not (tmp_path / "copy").exists()
    backup([folder], tmp_path / "copy", store)


def test_no_corpus_is_made_while_a_store_is_copied(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    store.mkdir()
    copied = recovery_command._copied
    monkeypatch.setattr(corpus_table, "_MOMENT", 0.1)

    def copy(*given: Any) -> None:
        with pytest.raises(BusyError, match="is being copied"), corpus_table.lock_corpus(store, "words"):
            pass
        copied(*given)

    monkeypatch.setattr(recovery_command, "_copied", copy)
    backup([folder], tmp_path / "copy", store)
    assert not (store / "words.corpus").exists()
    with corpus_table.lock_corpus(store, "words"), corpus_table.lock_corpus(store, "others"):
        pass


def test_a_backup_that_fails_leaves_nothing(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tmp_path / "store"
    store.mkdir()
    (store / "gone").symlink_to("nowhere")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(WorldError, match="cannot be written"):
        backup([folder], tmp_path / "copy", store)
    assert sorted(tmp_path.iterdir()) == before

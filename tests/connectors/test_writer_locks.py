"""One writer: of two flows that would write to one place the second is refused, and nothing is touched."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from connectors import writer_locks
from connectors.endpoints import RECORDS_TO, endpoint
from connectors.writer_locks import ANSWERS, HANDED_ON, all_locked, keep_locked, lock_files
from core.errors import BusyError, WorldError
from core.launch import Launch
from dataflows import ingest, memes, starting
from memewax.commands.flow_run import run_flow
from memewax.commands.recovery import prepare_recovery
from tests.folders import ROOT

POST = b'{"global_id": "1-reddit", "url": "1.png"}\n'


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_locks, "PATIENCE", 0.05)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "posts.jsonl").write_bytes(POST)
    return tmp_path


def locks_of(*addresses: str, writer: str = writer_locks.RECORDS) -> Mapping[Path, str]:
    return lock_files((endpoint(it, RECORDS_TO) for it in addresses), writer)


def test_a_place_is_one_however_it_is_written_and_topics_have_no_lock(folder: Path) -> None:
    (folder / "other").symlink_to(folder)
    assert locks_of("store").keys() == locks_of("other/store").keys() != locks_of("store", writer=ANSWERS).keys()
    assert len(locks_of("out.jsonl", "./out.jsonl", "kafka://h:1/t")) == 1


@pytest.mark.parametrize("place", ["store", "out.jsonl"])
def test_a_second_flow_is_refused_in_a_line_and_leaves_nothing(place: str, folder: Path) -> None:
    with all_locked(locks_of(place)):
        before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
        refused = pytest.raises(BusyError, match=f"^{place} is being written by another run: wait until it ends, or")
        with refused as error:
            run_flow({"source": "posts.jsonl", "to": (place,), "models": "fake"}, None, 1.0)
        assert error.value.exit_code == 3
        assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_file_that_another_run_made_meanwhile_is_not_cut(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both find no file; whoever has the lock second finds one with lines in it."""
    real, out = writer_locks.locked, folder / "out.jsonl"

    def locked_late(path: Path, **options: object) -> object:
        if path == out:
            out.write_bytes(b"a line of the other run\n")
        return real(path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(writer_locks, "locked", locked_late)
    with pytest.raises(WorldError, match="exists already"):
        run_flow({"source": "posts.jsonl", "to": ("out.jsonl",), "models": "fake"}, None, 1.0)
    assert out.read_bytes() == b"a line of the other run\n"


@pytest.mark.parametrize("module", [memes, ingest])
def test_a_flow_without_the_command_is_refused_too_before_models_are_loaded(
    module: object, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(starting.drain, "on_signals", lambda: None)
    monkeypatch.setattr(starting, "load_models", lambda _: pytest.fail("models were loaded"))
    monkeypatch.setenv("MEMEWAX_SOURCE", "posts.jsonl")
    monkeypatch.setenv("MEMEWAX_TO", "out.jsonl")
    with all_locked(locks_of("out.jsonl")), pytest.raises(SystemExit, match="3"):
        module.flow()  # type: ignore[attr-defined]
    assert capsys.readouterr().err.startswith("memewax: out.jsonl is being written by another run")


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (["dataflows.memes", "-i", "1"], {}),
        (["dataflows.memes", "--process-id=2"], {}),
        (["dataflows.memes"], {"BYTEWAX_PROCESS_ID": "1"}),
        (["dataflows.memes"], {"BYTEWAX_POD_NAME": "memes-1", "BYTEWAX_STATEFULSET_NAME": "memes"}),
        (["dataflows.memes"], {HANDED_ON: "1"}),
    ],
)
def test_further_processes_of_one_flow_belong_to_it(
    arguments: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    with all_locked({tmp_path / "lock": "taken"}):
        keep_locked({tmp_path / "lock": "taken"}, Launch.of(arguments, environment), environment)


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (["dataflows.memes", "-i", "0"], {}),
        (["dataflows.memes"], {}),
        (["dataflows.memes"], {"BYTEWAX_POD_NAME": "memes-0", "BYTEWAX_STATEFULSET_NAME": "memes"}),
    ],
)
def test_the_first_process_has_the_locks_and_that_of_the_recovery_folder(
    arguments: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    with all_locked({tmp_path / "file": "taken"}), pytest.raises(BusyError, match="taken"):
        keep_locked({tmp_path / "file": "taken"}, Launch.of(arguments, environment), environment)
    prepare_recovery(tmp_path / "r")
    with all_locked({tmp_path / "r" / "lock": ""}), pytest.raises(BusyError, match="r is in use by another run"):
        keep_locked({}, Launch.of([*arguments, "-r", str(tmp_path / "r")], environment), environment)


def test_a_lock_that_is_kept_lasts_as_long_as_its_process(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from connectors.writer_locks import keep_locked
from core.launch import Launch
for _ in range(2):  # a process does not keep itself out
    keep_locked({{Path({str(tmp_path / "lock")!r}): "taken"}}, Launch(), {{}})
print("kept", flush=True)
input()
"""
    child = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "kept\n"
        with pytest.raises(BusyError), all_locked({tmp_path / "lock": "taken"}, wait=0):
            pytest.fail("it was free")
        child.kill()
        child.communicate()
    with all_locked({tmp_path / "lock": "taken"}, wait=0):
        pass

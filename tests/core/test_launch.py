"""How a process was started, as Bytewax is told it."""

from pathlib import Path

import pytest

from core.launch import Launch

TWO = "127.0.0.1:2101;127.0.0.1:2102"


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (["dataflows.memes", "-r", "folder", "-s", "10"], {}),
        (["dataflows.memes", "-rfolder"], {}),
        (["--recovery-directory=folder", "dataflows.memes"], {}),
        (["dataflows.memes"], {"BYTEWAX_RECOVERY_DIRECTORY": "folder"}),
    ],
)
def test_the_recovery_folder(arguments: list[str], environment: dict[str, str]) -> None:
    assert Launch.of(arguments, environment) == Launch(recovery=Path("folder"))


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (["flow", "-i", "1", "-a", TWO], {}),
        (["flow", "--process-id=1", f"--addresses={TWO}"], {}),
        (["flow"], {"BYTEWAX_PROCESS_ID": "1", "BYTEWAX_ADDRESSES": TWO}),
        (["flow"], {"BYTEWAX_POD_NAME": "memes-1", "BYTEWAX_STATEFULSET_NAME": "memes", "BYTEWAX_ADDRESSES": TWO}),
    ],
)
def test_which_process_of_how_many(arguments: list[str], environment: dict[str, str]) -> None:
    launch = Launch.of(arguments, environment)
    assert (launch.process, launch.processes, launch.hosts, launch.place_on_host) == (1, 2, 1, 1)


def test_pods_have_a_machine_each(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("memes-0.memes:9999\nmemes-1.memes:9999\n\n")
    environment = {
        "BYTEWAX_POD_NAME": "memes-1",
        "BYTEWAX_STATEFULSET_NAME": "memes",
        "BYTEWAX_HOSTFILE_PATH": str(tmp_path / "hosts"),
    }
    launch = Launch.of(["dataflows.memes"], environment)
    assert (launch.process, launch.processes, launch.hosts, launch.place_on_host) == (1, 2, 2, 0)


def test_what_bytewax_would_refuse_is_left_out(tmp_path: Path) -> None:
    assert Launch.of(["-i", "one"], {"BYTEWAX_HOSTFILE_PATH": str(tmp_path / "none")}) == Launch()
    assert Launch.of(["-i", "7", "-a", TWO], {}).place_on_host == 0

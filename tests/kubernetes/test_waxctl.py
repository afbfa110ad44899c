"""waxctl: its command and values are those of Bytewax's chart, and the image has what that chart starts.

The chart's StatefulSet runs `sh ./entrypoint-recovery.sh` and then `sh ./entrypoint.sh` in the image's working directory,
with the variables below, on a root that cannot be written but for /var/bytewax and /var/recovery.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Final

import orjson
import yaml

from connectors.topics.declared import ANSWERING, FLOW
from core.settings import PREFIX
from dataflows.all_settings import Settings
from tests.flows.runs import PATIENCE, free_port
from tests.folders import ROOT

FOLDER: Final = ROOT / "k8s"
IMAGE: Final = FOLDER / "image"
OF_WAXCTL: Final = {"-N", "-n", "-p", "-w", "-f", "-i", "-t", "-e", "-V"} | {
    f"--recovery{it}" for it in ("", "-parts", "-size", "-snapshot-interval", "-single-volume")
}
OF_ITS_CHART: Final = {
    "image", "env", "resources", "configuration", "securityContext", "podSecurityContext", "nodeSelector",
}  # fmt: skip


def command() -> list[str]:
    """The words of the page's command after `waxctl df deploy`."""
    text = (FOLDER / "README.md").read_text().replace("\\\n", " ")
    return shlex.split(next(it for it in text.splitlines() if it.startswith("waxctl df deploy")))[3:]


def test_its_command_and_values_are_those_of_its_chart() -> None:
    words = command()
    assert (ROOT / words[0]).is_file()
    assert {it for it in words[1:] if it.startswith("-")} <= OF_WAXCTL
    values = words[words.index("-V") + 1]
    assert yaml.safe_load((ROOT / values).read_text()).keys() <= OF_ITS_CHART
    given = dict(it.split("=") for before, it in pairwise(words) if before == "-e")
    assert {it.removeprefix(PREFIX).lower() for it in given} <= Settings.model_fields.keys()
    topics = {it.name for it in (*FLOW, *ANSWERING)}
    for it in given.values():
        assert it.rpartition("/")[2] in topics if it.startswith("kafka:") else it.startswith("/var/bytewax/")


def test_the_image_has_what_the_chart_starts() -> None:
    dockerfile = (IMAGE / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    assert "COPY k8s/image/entrypoint.sh k8s/image/entrypoint-recovery.sh /opt/memewax/\n" in dockerfile
    assert re.findall(r"^WORKDIR (.*)$", dockerfile, re.MULTILINE) == ["/opt/memewax"]
    assert 'cp "$here"/k8s/image/entrypoint*.sh "$root/opt/memewax/"' in (IMAGE / "build").read_text()


def test_the_chart_s_commands_run_the_flow_which_goes_on_after_it_was_killed(tmp_path: Path) -> None:
    """The chart's shell, which is the first process of its container, passes no SIGTERM on: each stop is a kill."""
    work, recovery, records = (tmp_path / it for it in ("bytewax", "recovery", "records.jsonl"))
    work.mkdir()
    recovery.mkdir()
    (work / "memes_flow.py").write_text((FOLDER / "memes_flow.py").read_text())
    (tmp_path / "hosts").write_text(f"127.0.0.1:{free_port()}\n")
    environment = {
        "PATH": f"{sys.prefix}/bin:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        # As the chart sets them.
        "PYTHONUNBUFFERED": "1",
        "BYTEWAX_PYTHON_FILE_PATH": f"{work}/memes_flow.py",
        "BYTEWAX_WORKDIR": str(work),
        "BYTEWAX_WORKERS_PER_PROCESS": "1",
        "BYTEWAX_POD_NAME": "memes-0",
        "BYTEWAX_REPLICAS": "1",
        "BYTEWAX_KEEP_CONTAINER_ALIVE": "false",
        "BYTEWAX_HOSTFILE_PATH": str(tmp_path / "hosts"),
        "BYTEWAX_STATEFULSET_NAME": "memes",
        "BYTEWAX_DATAFLOW_API_ENABLED": "true",
        "BYTEWAX_DATAFLOW_API_PORT": str(free_port()),
        "BYTEWAX_RECOVERY_DIRECTORY": str(recovery),
        "BYTEWAX_RECOVERY_PARTS": "4",
        # As the command does.
        "MEMEWAX_SOURCE": str(tmp_path / "posts.jsonl"),
        "MEMEWAX_TO": str(records),
        "MEMEWAX_DEAD_LETTERS": str(tmp_path / "dead.jsonl"),
        "MEMEWAX_STATE_DIR": f"{work}/state",
        "MEMEWAX_FOLLOW": "true",
        "MEMEWAX_MODELS": "fake",
        "MEMEWAX_HEALTH_PORT": str(free_port()),
    }

    def start(script: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            ["sh", "-c", f"sh ./{script}"],
            cwd=IMAGE,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    for _ in range(2):  # as the pods of two processes do on one volume
        made = start("entrypoint-recovery.sh")
        said, _ = made.communicate(timeout=PATIENCE)
        assert made.returncode == 0, said
    assert {it.name for it in recovery.iterdir()} == {f"part-{it}.sqlite3" for it in range(4)}
    for first, end in ((0, 20), (20, 30)):
        with (tmp_path / "posts.jsonl").open("ab") as file:
            posts = [{"global_id": f"{it}-a", "url": f"{it}.png", "source": "a"} for it in range(first, end)]
            file.writelines(orjson.dumps(it) + b"\n" for it in posts)
        flow = start("entrypoint.sh")
        try:
            while not records.exists() or len(records.read_bytes().splitlines()) < end:
                assert flow.poll() is None
                time.sleep(0.05)
        finally:
            os.killpg(flow.pid, signal.SIGKILL)
            said, _ = flow.communicate()
    assert sorted(orjson.loads(it)["global_id"] for it in records.read_bytes().splitlines()) == sorted(
        f"{it}-a" for it in range(30)
    ), said

"""The image's recipe: all packages are in it, its versions are those of the manifests, and signals reach Python."""

import json
import re
import subprocess
import tomllib
from typing import Final

import pytest

from core import __version__
from tests.folders import ROOT
from tests.kubernetes.manifests import needs_kubectl, overlay, pods

FOLDER: Final = ROOT / "k8s/image"
DOCKERFILE: Final = (FOLDER / "Dockerfile").read_text()
RUNS: Final = DOCKERFILE.rpartition("\nFROM ")[2]


def test_all_packages_are_in_it() -> None:
    found = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    packages = {it.removesuffix("*") for it in found}
    assert {it for it in packages if f"COPY {it} /source/{it}" in DOCKERFILE} == packages
    copied = re.search(r"tar -C \"\$here\" -c (.*?) \| tar", (FOLDER / "build").read_text(), re.DOTALL)
    assert copied is not None
    assert packages <= set(copied[1].replace("\\\n", " ").split())


def test_both_ways_take_the_same_packages_of_debian() -> None:
    (run, build) = (set(re.findall(r"[\w-]+", it)) for it in (RUNS, (FOLDER / "build").read_text()))
    for it in ("ca-certificates", "libgomp1", "python3", "tini"):
        assert it in run
        assert it in build


def test_it_runs_as_nobody_and_signals_reach_python() -> None:
    assert "\nUSER 65532:65532\n" in RUNS
    (entry,) = re.findall(r"^ENTRYPOINT (.*)$", RUNS, re.MULTILINE)
    assert json.loads(entry) == ["/usr/bin/tini", "--"]


@needs_kubectl
def test_pods_have_the_image_s_version_and_leave_its_entry_point() -> None:
    for name in ("cpu", "gpu"):
        for pod in pods(overlay(name)).values():
            container = pod["spec"]["containers"][0]
            assert container["image"].removesuffix("-cuda") == f"memewax:{__version__}"
            assert "command" not in container


@pytest.mark.parametrize(
    "script", ["build", "check", "install", "entrypoint.sh", "entrypoint-recovery.sh", "../operate"]
)
def test_scripts_are_well_formed(script: str) -> None:
    file = FOLDER / script
    assert file.stat().st_mode & 0o111
    shell = file.read_text().splitlines()[0].rpartition("/")[2].removeprefix("env ")
    subprocess.run([shell, "-n", str(file)], check=True)

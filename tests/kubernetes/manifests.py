"""The manifests as kustomize renders them."""

import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.folders import ROOT

Object = dict[str, Any]

FOLDER: Final = ROOT / "k8s"
OVERLAYS: Final = sorted(it.parent.name for it in FOLDER.glob("overlays/*/kustomization.yaml"))

needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl: manifests cannot be rendered")


def rendered(folder: Path) -> list[Object]:
    """What `kubectl kustomize` makes of a folder."""
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


@cache
def overlay(name: str) -> list[Object]:
    return rendered(FOLDER / "overlays" / name)


def of_kind(objects: list[Object], kind: str) -> dict[str, Object]:
    return {it["metadata"]["name"]: it for it in objects if it["kind"] == kind}


def pods(objects: list[Object]) -> dict[str, Object]:
    """The templates of pods, by kind and name of what they are of."""
    found: dict[str, Object] = {}
    for it in objects:
        spec, name = it.get("spec", {}), f"{it['kind']}/{it['metadata']['name']}"
        if "jobTemplate" in spec:
            found[name] = spec["jobTemplate"]["spec"]["template"]
        elif "jobTargetRef" in spec:
            found[name] = spec["jobTargetRef"]["template"]
        elif "template" in spec:
            found[name] = spec["template"]
    return found

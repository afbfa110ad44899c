"""The wheel holds all that a flow and its commands need, and works where there is no checkout."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Final

import pytest

from tests.folders import ROOT

PACKAGES: Final = ("core", "models", "connectors", "search", "operators", "dataflows", "memewax")
PACKED: Final = (".py", ".html", ".css", ".js", ".json", ".typed")


def files_in(folder: Path) -> set[str]:
    """All files of the packages in a folder, but what Python and macOS leave there."""
    found = (path for package in PACKAGES for path in (folder / package).rglob("*") if path.is_file())
    return {str(path.relative_to(folder)) for path in found if path.suffix != ".pyc" and path.name != ".DS_Store"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked in a folder as an installation does; built from a copy, so that nothing old gets in."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--no-index", "--no-deps", "--no-build-isolation", "-q"]
    subprocess.run([*command, "-w", str(folder), str(source)], check=True, capture_output=True, text=True)
    (wheel,) = folder.glob("memewax-*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder / "installed")
    return folder / "installed"


def run(installed: Path, cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Python in a folder of its own, where our packages come from the wheel alone."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "MEMEWAX_"))}
    env |= {"PYTHONPATH": str(installed), "MEMEWAX_MODELS": "fake"}
    return subprocess.run(
        [sys.executable, "-P", *words], cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=120
    )


def test_the_wheel_holds_every_module_page_and_schema(installed: Path) -> None:
    ours = files_in(ROOT)
    assert {Path(name).suffix for name in ours} == set(PACKED)
    assert files_in(installed) == ours


def test_the_wheel_installs_our_packages_and_nothing_else(installed: Path) -> None:
    (about,) = installed.glob("memewax-*.dist-info")
    assert {path.name for path in installed.iterdir()} == {*PACKAGES, about.name}
    assert (about / "licenses" / "LICENSE").is_file()
    assert all((installed / package / "py.typed").is_file() for package in PACKAGES)


def test_a_flow_runs_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    where = "import core, models, connectors, search, operators, dataflows, memewax, sys; "
    where += f"print(*{{sys.modules[name].__path__[0] for name in {PACKAGES!r}}}, sep='\\n')"
    found = run(installed, tmp_path, "-c", where)
    assert {Path(line).parent for line in found.stdout.splitlines()} == {installed}

    posts = [{"global_id": f"{number}-x", "url": f"https://images.example/{number}.png"} for number in range(3)]
    (tmp_path / "posts.jsonl").write_text("".join(json.dumps(post) + "\n" for post in posts))
    done = run(
        installed, tmp_path, "-m", "memewax", "run", "--from", "posts.jsonl", "--to", "out.jsonl", "--to", "store"
    )
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert {record["global_id"] for record in records} == {post["global_id"] for post in posts}


def test_pages_and_schemas_are_read_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    code = (
        "from connectors.topics.asyncapi import asyncapi_document\n"
        "from memewax.pages.showing import templates\n"
        "templates('memewax.demo').get_template('page.html'), templates('memewax.evaluation').get_template('ocr.html')\n"
        "print(len(asyncapi_document()['channels']))"
    )
    done = run(installed, tmp_path, "-c", code)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 3

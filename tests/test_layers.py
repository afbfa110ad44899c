"""Imports go one way, from folder to folder."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.folders import ROOT

LAYERS = ("core", "models", "connectors", "search", "operators", "dataflows", "memewax")
"""Each folder imports from itself and from those before it."""
CARD = {"dataflows", "operators", "models"}
HEAVY = ("torch", "torchvision", "easyocr", "transformers", "spacy", "sentence_transformers", "sklearn", "skimage")


def module_name(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


PACKAGES = sorted(path.parent.name for path in ROOT.glob("*/__init__.py") if path.parent.name != "tests")
MODULES = {module_name(path): path for folder in PACKAGES for path in sorted((ROOT / folder).rglob("*.py"))}


def layer(module: str) -> str:
    return module.partition(".")[0]


def imported(module: str) -> Iterator[str]:
    """Every module that is named in an import, those inside functions too."""
    path = MODULES[module]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the layer"
            assert node.module is not None
            # `from package import module` names a module, `from module import name` does not
            yield from {
                inner if (inner := f"{node.module}.{alias.name}") in MODULES else node.module for alias in node.names
            }


def ours(module: str) -> set[str]:
    return {name for name in imported(module) if name in MODULES} - {module}


def test_every_package_is_a_layer() -> None:
    assert set(PACKAGES) == set(LAYERS)
    assert len(set(PACKAGES) - CARD) <= 4


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_from_its_own_layer_or_below(module: str) -> None:
    above = {name for name in ours(module) if LAYERS.index(layer(name)) > LAYERS.index(layer(module))}
    assert not above


def test_no_module_imports_itself_in_a_circle() -> None:
    left = {module: ours(module) for module in MODULES}
    while free := {module for module, needs in left.items() if not needs & left.keys()}:
        for module in free:
            del left[module]
    assert not left


@pytest.mark.parametrize(
    "module", [module for module in MODULES if layer(module) in {"core", "models", "connectors", "search"}]
)
def test_only_what_a_flow_is_made_of_knows_bytewax(module: str) -> None:
    assert not [name for name in imported(module) if name.partition(".")[0] == "bytewax"]


@pytest.mark.parametrize("module", [module for module in MODULES if layer(module) == "core"])
def test_the_vocabulary_needs_no_model_and_no_engine(module: str) -> None:
    assert not {name.partition(".")[0] for name in imported(module)} & {"bytewax", "river", *HEAVY}


def test_the_command_starts_without_heavy_imports() -> None:
    heavy = (*HEAVY, "lancedb", "pyarrow", "onnxruntime")
    code = f"import memewax.commands.app, sys; print(sorted(set(sys.modules) & set({heavy!r})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"

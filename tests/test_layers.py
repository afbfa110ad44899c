"""Imports go one way: vocabulary, models, operators, dataflows, then what people touch."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.folders import ROOT

LAYERS = ("vocabulary", "models", "operators", "dataflows", "people")
PEOPLE = ("memewax.commands", "memewax.demo", "memewax.evaluation", "memewax.__main__")
HEAVY = ("torch", "torchvision", "easyocr", "transformers", "spacy", "sentence_transformers", "sklearn", "skimage")


def module_name(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


MODULES = {
    module_name(path): path for folder in ("memewax", *LAYERS[1:4]) for path in sorted((ROOT / folder).rglob("*.py"))
}


def layer(module: str) -> str:
    if not module.startswith("memewax"):
        return module.partition(".")[0]
    return "people" if any(module == name or module.startswith(f"{name}.") for name in PEOPLE) else "vocabulary"


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


def test_each_layer_has_modules() -> None:
    assert {layer(module) for module in MODULES} == set(LAYERS)


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


@pytest.mark.parametrize("module", [module for module in MODULES if layer(module) == "models"])
def test_a_model_knows_nothing_of_bytewax(module: str) -> None:
    assert not [name for name in imported(module) if name.partition(".")[0] == "bytewax"]


@pytest.mark.parametrize("module", [module for module in MODULES if layer(module) == "vocabulary"])
def test_the_vocabulary_needs_no_model_and_no_engine(module: str) -> None:
    assert not {name.partition(".")[0] for name in imported(module)} & {"bytewax", "river", *HEAVY}


def test_the_command_starts_without_heavy_imports() -> None:
    code = f"import memewax.commands.app, sys; print(sorted(set(sys.modules) & set({HEAVY!r})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"

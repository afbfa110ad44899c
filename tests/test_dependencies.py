"""Packages that are imported are declared, those that are declared are used, and only commands need extras."""

import ast
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Final

import pytest

from core.errors import WorldError
from core.extras import EXTRAS, needs_extra
from memewax.demo.photographs import PHOTOGRAPHS
from tests.folders import ROOT

PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text())
LAYERS: Final = ("core", "models", "connectors", "search", "operators", "dataflows", "memewax")
CARD: Final = {
    "bytewax", "confluent-kafka", "torch", "transformers", "easyocr", "river", "spacy", "vadersentiment", "orjson",
}  # fmt: skip
TOOLS: Final = {
    "furo",
    "mypy",
    "myst-parser",
    "py-spy",
    "pytest-timeout",
    "pytest-xdist",
    "ruff",
    "setuptools",
    "sphinx",
    "types-pyyaml",
}
"""Run, or found by what runs; never imported."""
MAY_USE: Final = {
    "core": {"traces"},
    "connectors": {"cassandra", "objects"},
    "models": {"openvino"},
    "search": {"corpus", "maps", "sql"},
    "memewax/bench": {"bench", "commands"},
    "memewax/commands": {"bench", "commands"},
    "memewax/demo": {"commands", "demo"},
    "memewax/evaluation": {"commands", "eval"},
    "memewax/page": {"page"},
    "memewax/pages": {"demo", "eval", "page"},
}
"""Extras that modules of a folder may import from; all others need nothing but hard dependencies."""
ONLY_LATE: Final = {"connectors", "core", "models", "search"}
"""Folders that import from extras only inside functions: whoever has not installed them can import all modules."""


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(requirements: list[str]) -> set[str]:
    """Names of the packages in some requirements; extras of our own are followed."""
    names: set[str] = set()
    for requirement in requirements:
        if own := re.fullmatch(r"memewax\[(.*)\]", requirement):
            names |= {name for extra in own[1].split(",") for name in declared(OPTIONAL[extra])}
        else:
            names.add(normal(re.split(r"[^\w.-]", requirement)[0]))
    return names


OPTIONAL: Final[dict[str, list[str]]] = PROJECT["project"]["optional-dependencies"]
HARD: Final = declared(PROJECT["project"]["dependencies"])
OWN: Final = {
    extra: declared([it for it in lines if not it.startswith("memewax[")]) for extra, lines in OPTIONAL.items()
}
"""Packages that an extra names itself."""
INSTALLED: Final = {
    package: {normal(name) for name in names}
    for package, names in packages_distributions().items()
    if package.isidentifier()
}


class Import:
    """One package that a file imports."""

    def __init__(self, path: Path, package: str, *, late: bool) -> None:
        self.path, self.package, self.late = path, package, late

    @property
    def folder(self) -> str:
        """`memewax/demo` and its like, or the layer."""
        parts = self.path.relative_to(ROOT).parts
        return "/".join(parts[:2]) if parts[0] == "memewax" and len(parts) > 2 else parts[0]

    def comes_from(self, names: set[str]) -> bool:
        return bool(INSTALLED.get(self.package, {normal(self.package)}) & names)

    def __repr__(self) -> str:
        return f"{self.path.relative_to(ROOT)}: {self.package}"


def imports(path: Path) -> Iterator[Import]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    at_once = set(ast.walk(ast.Module(tree.body, []))) - {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        else:
            continue
        for package in {name.partition(".")[0] for name in names}:
            if package not in {*sys.stdlib_module_names, *LAYERS, "tests"}:
                yield Import(path, package, late=node not in at_once)


def texts(path: Path) -> set[str]:
    """All that stands in quotes: packages that are only looked for are named there."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return {it.value for it in nodes if isinstance(it, ast.Constant) and isinstance(it.value, str)}


FILES: Final = [path for layer in LAYERS for path in sorted((ROOT / layer).rglob("*.py"))]
IMPORTS: Final = [found for path in FILES for found in imports(path)]
OF_TESTS: Final = [found for path in sorted((ROOT / "tests").rglob("*.py")) for found in imports(path)]


def test_what_is_imported_is_declared_and_only_where_an_extra_may_be_used() -> None:
    wrong = [
        found
        for found in IMPORTS
        if not found.comes_from(HARD)
        and not any(found.comes_from(OWN[extra]) for extra in MAY_USE.get(found.folder, {"commands"} & {found.folder}))
    ]
    assert not wrong


def test_a_library_imports_from_an_extra_only_where_it_is_used() -> None:
    early = [it for it in IMPORTS if it.folder in ONLY_LATE and not it.late and not it.comes_from(HARD)]
    assert not early


def test_what_tests_import_is_declared() -> None:
    assert not [found for found in OF_TESTS if not found.comes_from(HARD | declared(OPTIONAL["dev"]))]


def test_what_is_declared_is_imported_or_looked_for() -> None:
    used: dict[str, set[str]] = defaultdict(set)
    for package, names in INSTALLED.items():
        for name in names:
            used[name].add(package)
    named = {found.package for found in IMPORTS} | {text for path in FILES for text in texts(path)}
    everywhere = HARD | set().union(*(OWN[extra] for extra in OPTIONAL if extra not in {"dev", "gcs", "s3"}))
    assert not {name for name in everywhere if not used[name] & named}
    assert not {
        name
        for name in OWN["dev"] - TOOLS
        if not used[name] & {found.package for found in OF_TESTS} and name != "memewax"
    }


def test_each_extra_is_imported_by_a_folder_that_may() -> None:
    for extra, names in OWN.items():
        if extra in EXTRAS:
            mine = [found for found in IMPORTS if extra in MAY_USE.get(found.folder, set())]
            reached = {normal(EXTRAS[extra][found.package]) for found in mine if found.package in EXTRAS[extra]}
            # jiwer and the photographs are reached through other folders: by a measure, or by name
            assert names - reached <= {"jiwer", "scikit-image"}, extra


def test_the_card_s_packages_are_hard_dependencies() -> None:
    assert HARD >= CARD


def test_the_extras_that_errors_name_are_those_of_the_project() -> None:
    assert {extra: {normal(name) for name in packages.values()} for extra, packages in EXTRAS.items()} == {
        extra: names for extra, names in OWN.items() if extra not in {"all", "dev", "gcs", "s3"}
    }


def test_two_commands_install_every_extra() -> None:
    assert declared(OPTIONAL["dev"]) >= set().union(*(OWN[extra] for extra in EXTRAS))


def test_every_requirement_is_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {normal(line.partition("==")[0]) for line in lines if "==" in line}
    assert HARD | declared(OPTIONAL["dev"]) <= pinned


BLOCKED: Final = """
import sys
from importlib.abc import MetaPathFinder

class Missing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {package!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
sys.argv = ["memewax", *{words!r}]
from memewax.__main__ import main
main()
"""


@pytest.mark.parametrize(
    ("package", "words", "told"),
    [
        ("typer", ["--version"], "the command needs typer: pip install 'memewax[commands]'"),
        ("rich", ["doctor"], "the command needs rich: pip install 'memewax[commands]'"),
        ("sklearn", ["demo"], "memewax demo needs scikit-learn: pip install 'memewax[demo]'"),
        ("jiwer", ["eval", "ocr", "--data", "x"], "memewax eval needs jiwer: pip install 'memewax[eval]'"),
        ("psutil", ["bench", "overhead", "-n", "1000"],
         "memewax bench overhead needs psutil: pip install 'memewax[bench]'"),
        ("jiwer", ["bench", "ocr", "--data", "x"], "memewax bench ocr needs jiwer: pip install 'memewax[bench]'"),
        ("uvicorn", ["page", "--store", "."], "memewax page needs uvicorn: pip install 'memewax[page]'"),
    ],
)  # fmt: skip
def test_a_missing_extra_is_one_line_that_names_it(package: str, words: list[str], told: str, tmp_path: Path) -> None:
    code = BLOCKED.format(package=package, words=words)
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
    )
    assert (done.returncode, done.stdout) == (3, ""), done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1] == f"memewax: {told}"


def test_photographs_that_are_not_installed_are_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(WorldError, match=r"memewax demo needs scikit-image: pip install 'memewax\[demo\]'"):
        next(it for it in PHOTOGRAPHS if it.package == "skimage").load()


def test_another_missing_module_is_no_matter_of_an_extra() -> None:
    with pytest.raises(ModuleNotFoundError), needs_extra("demo", "the demo"):
        import_module("nowhere_to_be_found")

"""One name for one thing: no two modules share a file name, no two public classes a name."""

import ast
from collections import defaultdict
from pathlib import Path

from tests.folders import ROOT

PACKAGES = sorted(path.parent for path in ROOT.glob("*/__init__.py") if path.parent.name != "tests")
MODULES = [path for package in PACKAGES for path in sorted(package.rglob("*.py")) if path.name != "__init__.py"]


def public_types(path: Path) -> list[str]:
    """Classes and type aliases of a module; the type variables and constants of each module are its own."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    classes = [node.name for node in body if isinstance(node, ast.ClassDef)]
    assigned = [node for node in body if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)]
    aliases = [node.targets[0].id for node in assigned if not is_type_variable(node)]  # type: ignore[attr-defined]
    return [name for name in [*classes, *aliases] if name[0].isupper() and not name.isupper()]


def is_type_variable(node: ast.Assign) -> bool:
    call = node.value
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in {"TypeVar", "ParamSpec"}


def test_no_two_modules_share_a_file_name() -> None:
    found = defaultdict(list)
    for path in MODULES:
        found[path.name].append(str(path.relative_to(ROOT)))
    assert not {name: paths for name, paths in found.items() if len(paths) > 1}


def test_no_two_public_types_share_a_name() -> None:
    found = defaultdict(list)
    for path in MODULES:
        for name in public_types(path):
            found[name].append(str(path.relative_to(ROOT)))
    assert not {name: paths for name, paths in found.items() if len(paths) > 1}

"""The examples in docstrings run, and give what they say."""

import doctest
from importlib import import_module

import pytest

from tests.folders import ROOT

PACKAGES = ("core", "models", "connectors", "search", "operators", "dataflows", "memewax")
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
    if "\n    >>> " in (text := path.read_text()) or "\n>>> " in text
)


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_of_a_module_run(module: str) -> None:
    failed, tried = doctest.testmod(import_module(module), optionflags=doctest.ELLIPSIS)
    assert tried > 0
    assert failed == 0


def test_there_are_examples() -> None:
    assert "memewax" in MODULES

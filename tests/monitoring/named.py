"""The dashboard and the alerts as files, and what they name."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import yaml

from tests.folders import ROOT

FOLDER: Final = ROOT / "k8s/monitoring"
RULES: Final = FOLDER / "memewax.rules.yml"
RULE_TESTS: Final = FOLDER / "memewax.rules.test.yml"
KEDA: Final = ROOT / "k8s/overlays/keda/scaled.yaml"
DASHBOARD: Final = FOLDER / "memewax-dashboard.json"

_SELECTOR: Final = re.compile(r"\b(memewax_\w+)(?:\{([^}]*)\})?")
_MATCHER: Final = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_GROUPED: Final = re.compile(r"\b(?:by|without)\s*\(([^)]*)\)")
OF_PROMETHEUS: Final = frozenset({"job", "instance", "le"})
"""Labels that every series has there, or that a function needs."""


@dataclass(frozen=True, slots=True)
class Panel:
    title: str
    unit: str
    targets: tuple[tuple[str, str], ...]
    """Each query with how its lines are called."""


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return found


def panels() -> list[Panel]:
    return [
        Panel(
            it["title"],
            it["fieldConfig"]["defaults"]["unit"],
            tuple((target["expr"], target["legendFormat"]) for target in it["targets"]),
        )
        for it in dashboard()["panels"]
        if it["type"] != "row"
    ]


def queries() -> Iterator[tuple[str, str]]:
    """Each query of alerts, panels and KEDA's triggers, with whose it is."""
    for alert in alerts():
        yield alert["alert"], alert["expr"]
    for panel in panels():
        for query, _ in panel.targets:
            yield panel.title, query
    for job in yaml.safe_load_all(KEDA.read_text()):
        for trigger in job["spec"].get("triggers", ()):
            yield job["metadata"]["name"], trigger["metadata"]["query"]


def metrics_in(query: str) -> dict[str, set[tuple[str, str, str]]]:
    """The metrics that a query names, each with its matchers: label, operator, value."""
    found: dict[str, set[tuple[str, str, str]]] = {}
    for name, matchers in _SELECTOR.findall(query):
        found.setdefault(name, set()).update(_MATCHER.findall(matchers))
    return found


def groups_in(query: str) -> set[str]:
    """The labels that a query groups by."""
    return {label.strip() for group in _GROUPED.findall(query) for label in group.split(",")}


def labels_shown(legend: str) -> set[str]:
    return set(re.findall(r"\{\{\s*(\w+)\s*\}\}", legend))

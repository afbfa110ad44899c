"""Every metric and label that the dashboard and the alerts name is on the page of a flow that ran."""

import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from bytewax.testing import run_main
from prometheus_client import REGISTRY, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from core import telemetry
from core.causes import cause_names
from core.records import ClusterEvent
from dataflows.all_settings import Settings
from dataflows.memes import memes
from models.clusterer import FakeClusterer
from models.loading import load_models
from models.stages import stage_names
from operators.clustering import events_in
from tests.factories import message
from tests.folders import ROOT
from tests.monitoring.named import (
    OF_PROMETHEUS,
    RULE_TESTS,
    RULES,
    alerts,
    dashboard,
    groups_in,
    labels_shown,
    metrics_in,
    panels,
    queries,
)

PROMTOOL = shutil.which("promtool")
OPERATE = (ROOT / "docs/operate.md").read_text()


@dataclass(frozen=True, slots=True)
class Scraped:
    """A page of metrics."""

    names: set[str]
    """Of all samples that there are or may be."""
    labels: dict[str, set[str]]
    """By the name of a sample."""
    values: dict[tuple[str, str], set[str]]
    """By the name of a sample and a label: those that were there."""


def scraped(page: str) -> Scraped:
    endings = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "gauge": [""]}
    names = {
        family.name + ending
        for family in text_string_to_metric_families(page)
        for ending in endings.get(family.type, [])
    }
    labels: dict[str, set[str]] = defaultdict(set)
    values: dict[tuple[str, str], set[str]] = defaultdict(set)
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            for label, value in sample.labels.items():
                labels[sample.name].add(label)
                values[sample.name, label].add(value)
    return Scraped(names, labels, values)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Scraped:
    """Of a flow that has run, with fakes for models, and a broken line among its posts."""
    folder = tmp_path_factory.mktemp("run")
    posts = [message({"global_id": f"{n}-x", "url": f"{n}.png", "ingestion_time": 1.7e9}).value for n in range(20)]
    (folder / "posts.jsonl").write_bytes(b"\n".join([*posts, b"{"]) + b"\n")
    settings = Settings(
        source=(str(folder / "posts.jsonl"),),
        to=(str(folder / "store"), str(folder / "records.jsonl")),
        models="fake",
        follow=False,
    )
    run_main(memes(settings, load_models(settings), FakeClusterer))
    events_in([("all", ClusterEvent("birth", 1))])
    return scraped(generate_latest(REGISTRY).decode())


KNOWN: dict[tuple[str, str], set[str]] = {
    ("memewax_records_total", "outcome"): {"joined", "partial", "updated"},
    ("memewax_records_total", "failed"): {"yes", "no"},
    ("memewax_answers_total", "outcome"): {"found", "error"},
    ("memewax_fetches_total", "outcome"): {"ok"},
    ("memewax_dead_letters_total", "stage"): {"parse", "fetch", "write", *stage_names()},
    ("memewax_dead_letters_total", "reason"): set(cause_names()),
}
"""Values that a run of fakes does not bring forth; each is held by a test of what counts it."""


def declared(name: str) -> set[str]:
    """Labels of a metric that had no sample in the run."""
    base = re.sub("_(total|bucket|sum|count)$", "", name)
    found: set[str] = next(
        set(it._labelnames) for it in vars(telemetry).values() if getattr(it, "_name", "") in {base, name}
    )
    return found


@pytest.mark.parametrize(("whose", "query"), list(queries()))
def test_metrics_and_labels_that_are_named_exist(whose: str, query: str, page: Scraped) -> None:
    named = metrics_in(query)
    assert named or query == 'up{job="memewax"} == 0'
    assert named.keys() <= page.names
    labels = {name: page.labels[name] or declared(name) for name in named}
    for name, matchers in named.items():
        for label, _, value in matchers:
            if label in OF_PROMETHEUS:
                continue
            assert label in labels[name], f"{name} has no label {label}"
            known = page.values[name, label] | KNOWN.get((name, label), set())
            assert value in known, f"{name} has no {label}={value!r}"
    grouped = groups_in(query) - OF_PROMETHEUS
    assert not [it for it in grouped if not any(it in known for known in labels.values())]


def test_what_does_not_exist_would_be_noticed(page: Scraped) -> None:
    for query in ("rate(memewax_nothing_total[5m])", "sum by (nothing) (memewax_ready)", 'memewax_ready{x="y"}'):
        with pytest.raises(AssertionError):
            test_metrics_and_labels_that_are_named_exist("", query, page)


def lasting() -> Iterator[tuple[str, set[str], str]]:
    for alert in alerts():
        yield alert["alert"], labels_of(alert["expr"]), alert["annotations"]["summary"]


def labels_of(query: str) -> set[str]:
    """The labels that the result of a query has."""
    groups = groups_in(query)
    if groups:
        return groups - {"le"}
    return {"job", "instance"}.union(*(declared(name) for name in metrics_in(query)))


@pytest.mark.parametrize(("name", "labels", "summary"), list(lasting()))
def test_an_alert_shows_labels_that_it_has(name: str, labels: set[str], summary: str) -> None:
    assert set(re.findall(r"\$labels\.(\w+)", summary)) <= labels


@pytest.mark.parametrize("panel", panels(), ids=lambda it: it.title)
def test_a_panel_shows_labels_that_its_queries_have(panel: Any) -> None:
    for query, legend in panel.targets:
        assert labels_shown(legend) <= labels_of(query), legend
        assert 'job=~"$job"' in query


def test_panels_have_places_of_their_own() -> None:
    found = dashboard()["panels"]
    assert len({it["id"] for it in found}) == len(found)
    assert len({it.title for it in panels()}) == len(panels())
    taken: set[tuple[int, int]] = set()
    for it in found:
        at = it["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, it["title"]
        taken |= cells
    tops = [it["gridPos"]["y"] for it in found]
    assert all(before <= after for before, after in pairwise(tops))


def test_each_alert_has_a_runbook_and_each_runbook_an_alert() -> None:
    names = [alert["alert"] for alert in alerts()]
    assert len(set(names)) == len(names)
    assert [line[4:] for line in OPERATE.splitlines() if line.startswith("### Memewax")] == names
    for alert in alerts():
        assert alert["annotations"]["runbook"] == f"docs/operate.md#{alert['alert'].lower()}"
        assert alert["labels"].keys() == {"severity"}
        assert alert["labels"]["severity"] in {"critical", "warning"}


@pytest.mark.parametrize("name", [alert["alert"] for alert in alerts()])
def test_a_runbook_says_what_it_means_what_to_look_at_and_what_to_do(name: str) -> None:
    text = OPERATE.split(f"\n### {name}\n")[1].split("\n#")[0]
    for part in ("**Means**", "**Look at**", "**Then**"):
        assert part in text, part


def test_each_alert_is_tested_firing_and_quiet() -> None:
    tests = yaml.safe_load(RULE_TESTS.read_text())["tests"]
    tested = {(test["alertname"], bool(test["exp_alerts"])) for it in tests for test in it["alert_rule_test"]}
    assert tested == {(alert["alert"], fires) for alert in alerts() for fires in (True, False)}


@pytest.mark.skipif(PROMTOOL is None, reason="no promtool on the PATH (Debian: prometheus)")
@pytest.mark.parametrize(("what", "file"), [("check", RULES), ("test", RULE_TESTS)])
def test_promtool_finds_nothing_wrong(what: str, file: Path) -> None:
    done = subprocess.run([str(PROMTOOL), what, "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

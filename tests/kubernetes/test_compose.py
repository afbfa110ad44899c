"""compose.yaml: what it names is there, its commands exist, and nothing is open to the network."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from core.settings import PREFIX
from dataflows.all_settings import Settings
from tests.folders import ROOT
from tests.test_docs import parse

FILE: Final = ROOT / "compose.yaml"
COMPOSE: Final[dict[str, Any]] = yaml.safe_load(FILE.read_text())
SERVICES: Final[dict[str, dict[str, Any]]] = COMPOSE["services"]
KEYS: Final = {
    "image", "pull_policy", "read_only", "cap_drop", "cap_add", "security_opt", "tmpfs", "stop_grace_period", "restart",
    "environment", "ports", "volumes", "healthcheck", "command", "depends_on", "user", "configs",
}  # fmt: skip


def test_it_has_what_a_laptop_needs() -> None:
    assert SERVICES.keys() >= {"kafka", "flow", "similarity", "page", "prometheus", "grafana"}
    for name, service in SERVICES.items():
        assert service.keys() <= KEYS, name
        assert re.fullmatch(r"[\w/.-]+:v?\d[\w.-]+", service["image"]), "an exact version"


def test_what_it_names_is_there() -> None:
    for service in SERVICES.values():
        after = service.get("depends_on", {})
        for other, how in after.items() if isinstance(after, dict) else ((it, {}) for it in after):
            assert how.get("condition") != "service_healthy" or "healthcheck" in SERVICES[other]
            assert how.get("condition") != "service_completed_successfully" or SERVICES[other]["restart"] == "no"
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (ROOT / source).is_file() if source.startswith(".") else source in COMPOSE["volumes"]
        assert {it["source"] for it in service.get("configs", [])} <= COMPOSE["configs"].keys()
    assert {name.lower() for name in re.findall(rf"{PREFIX}([A-Z_]+)", FILE.read_text())} <= set(Settings.model_fields)


def test_its_commands_exist() -> None:
    commands = [it["command"] for it in SERVICES.values() if it.get("command", [""])[0] == "memewax"]
    assert len(commands) == 4
    for words in commands:
        parse(words[1:])


def test_nothing_is_open_to_the_network() -> None:
    ports = [port for it in SERVICES.values() for port in it.get("ports", [])]
    assert len(ports) == 4
    assert all(it.startswith("127.0.0.1:") for it in ports)


def test_prometheus_finds_the_processes_and_grafana_its_dashboard(tmp_path: Path) -> None:
    watched = yaml.safe_load(COMPOSE["configs"]["prometheus"]["content"])
    (job,) = watched["scrape_configs"]
    targets = [it.split(":") for it in job["static_configs"][0]["targets"]]
    port = str(Settings.model_fields["health_port"].default)
    assert all(service in SERVICES and number == port for service, number in targets)
    assert job["job_name"] == "memewax"  # as the alerts call it
    mounted = {it.split(":")[1]: it.split(":")[0] for it in SERVICES["prometheus"]["volumes"] if it.startswith(".")}
    assert set(watched["rule_files"]) == set(mounted)
    (provider,) = yaml.safe_load(COMPOSE["configs"]["dashboards"]["content"])["providers"]
    assert any(it.split(":")[1].startswith(provider["options"]["path"]) for it in SERVICES["grafana"]["volumes"])
    (source,) = yaml.safe_load(COMPOSE["configs"]["datasource"]["content"])["datasources"]
    assert source["url"] == "http://prometheus:9090"
    if shutil.which("promtool") is None:
        pytest.skip("no promtool: the configuration of Prometheus is not checked")
    rules = {it: str(ROOT / mounted[it]) for it in watched["rule_files"]}
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump({**watched, "rule_files": list(rules.values())}))
    subprocess.run(["promtool", "check", "config", str(tmp_path / "prometheus.yml")], check=True, capture_output=True)

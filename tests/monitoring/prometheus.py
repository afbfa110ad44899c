"""Debian's Prometheus, where it is there, and what it has to say."""

import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode
from urllib.request import urlopen

import yaml

from tests.monitoring.named import RULES

PROMETHEUS: Final = shutil.which("prometheus")
_PATIENCE: Final = 150.0
"""Seconds."""
_DURATION: Final = re.compile(r"\b(\d+)m\b")


@dataclass(frozen=True, slots=True)
class Prometheus:
    """One that runs."""

    url: str

    def query(self, query: str) -> list[dict[str, Any]]:
        """What is so now."""
        found: list[dict[str, Any]] = self._get("query", {"query": query})["data"]["result"]
        return found

    def over(self, query: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """Series over time, in seconds since 1970."""
        asked = {"query": query, "start": f"{start}", "end": f"{end}", "step": f"{step}"}
        found: list[dict[str, Any]] = self._get("query_range", asked)["data"]["result"]
        return found

    def firing(self) -> set[str]:
        """Names of the alerts that fire."""
        alerts = self._get("alerts", {})["data"]["alerts"]
        return {it["labels"]["alertname"] for it in alerts if it["state"] == "firing"}

    def until(self, reached: Callable[[], bool], what: str) -> None:
        """Wait for something."""
        deadline = time.monotonic() + _PATIENCE
        while not reached():
            assert time.monotonic() < deadline, f"never: {what}"
            time.sleep(0.2)

    def _get(self, what: str, asked: Mapping[str, str]) -> dict[str, Any]:
        with urlopen(f"{self.url}/api/v1/{what}?{urlencode(asked)}", timeout=30) as answer:
            found: dict[str, Any] = json.load(answer)
        assert found["status"] == "success", found
        return found


def hurried_rules() -> str:
    """The alerts, with seconds for their minutes, so that a test need not wait for half an hour."""
    return _DURATION.sub(r"\1s", RULES.read_text())


@contextmanager
def prometheus(folder: Path, ports: Sequence[int], rules: str | None = None) -> Iterator[Prometheus]:
    """Prometheus, which looks at the pages of these ports each second, for as long as the block lasts."""
    folder.mkdir(parents=True, exist_ok=True)
    if rules is not None:
        (folder / "rules.yml").write_text(rules)
    targets = [f"127.0.0.1:{port}" for port in ports]
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yml"] if rules is not None else [],
        "scrape_configs": [{"job_name": "memewax", "static_configs": [{"targets": targets}]}],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = free_ports(1)[0]
    options = [f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
    options += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([str(PROMETHEUS), *options], stdout=log, stderr=log, cwd=folder)
    found = Prometheus(f"http://127.0.0.1:{port}")
    try:
        found.until(lambda: _answers(found.url), "Prometheus answers")
        yield found
    finally:
        process.terminate()
        process.wait(20)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on just now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [it.getsockname()[1] for it in sockets]
    for it in sockets:
        it.close()
    return ports


def _answers(url: str) -> bool:
    with suppress(OSError), urlopen(f"{url}/-/ready", timeout=5) as answer:
        return bool(answer.status == 200)
    return False

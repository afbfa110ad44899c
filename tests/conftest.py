"""Fixtures for all tests."""

import gc
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import structlog
from hypothesis import settings

if "PYTEST_XDIST_WORKER" in os.environ:
    # Before numpy and torch are imported: threads of several processes on the same cores wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Tests start some hundred processes: each would compile all modules anew where no bytecode may be kept.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Flows of several tests run at the same time; those that look at the port name one of their own.
os.environ["MEMEWAX_HEALTH_PORT"] = "0"

# Engines are tried where tests are about them; all others compute alike on every machine.
os.environ["MEMEWAX_PRECISION"] = "exact"

gc.disable()  # until all tests are found: a fifth of the time of importing everything

# A test that takes its time on a busy machine is not wrong.
settings.register_profile("memewax", deadline=None)
settings.load_profile("memewax")

pytest_plugins = ["tests.brokers", "tests.cassandra_node", "tests.commands.typed", "tests.object_server"]


GROUPS: Final = {
    "real_broker": "kafka",
    "best_broker": "kafka",
    "broker": "kafka",
    "cassandra_node": "cassandra",
}
"""Fixtures of a server that takes long to start: with several processes, one of them has it for all tests."""
LONGEST_FIRST: Final = ("models", "kafka", "cassandra", "tests/kubernetes/test_runbook.py", "tests/flows/")


def groups_of(items: list[pytest.Item]) -> dict[Path, str]:
    """Return the xdist group of each file: a shared server or the real models, else the file itself."""
    groups: dict[Path, str] = {}
    for item in items:
        kinds = item.callspec.params.values() if hasattr(item, "callspec") else ()
        named = [GROUPS[it] for it in getattr(item, "fixturenames", ()) if it in GROUPS]
        named += ["cassandra"] * any(isinstance(it, str) and it == "cassandra" for it in kinds)
        named += ["models"] * (item.get_closest_marker("real") is not None)
        own = item.path.relative_to(item.config.rootpath).as_posix()
        if named or item.path not in groups:
            groups[item.path] = named[0] if named else own
    return groups


@pytest.hookimpl(tryfirst=True)  # xdist reads the marks in its own hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group the tests for `--dist loadgroup`, and begin with those that take longest."""
    groups = groups_of([it for it in items if it.get_closest_marker("slow") is None])
    for item in items:
        item.add_marker(pytest.mark.xdist_group(groups.get(item.path, item.path.as_posix())))

    def turn(item: pytest.Item) -> int:
        group = groups.get(item.path, "")
        return next((place for place, name in enumerate(LONGEST_FIRST) if group.startswith(name)), len(LONGEST_FIRST))

    if os.environ.get("PYTEST_XDIST_WORKER"):
        items.sort(key=turn)


def pytest_collection_finish() -> None:
    """Collect garbage again, but do not look through what was imported each time."""
    gc.freeze()
    gc.enable()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the servers that are missing: tests that need one are skipped, or use a small form of it."""
    from tests.missing import missing_servers

    for line in missing_servers():
        terminalreporter.write_line(f"MISSING {line}")


@pytest.fixture(autouse=True)
def log_as_at_the_start() -> Iterator[None]:
    """Commands that run in this process set the log's level and form; the next test begins without."""
    before = logging.getLogger().handlers[:]
    yield
    structlog.reset_defaults()
    logging.getLogger().handlers[:] = before
    logging.captureWarnings(False)

"""Fixtures for all tests."""

import gc
import logging
import os
import sys
from collections.abc import Iterator

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

pytest_plugins = ["tests.brokers", "tests.cassandra_node", "tests.object_server", "tests.shares"]


def pytest_collection_finish() -> None:
    """Collect garbage again, but do not look through what was imported each time."""
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def log_as_at_the_start() -> Iterator[None]:
    """Commands that run in this process set the log's level and form; the next test begins without."""
    before = logging.getLogger().handlers[:]
    yield
    structlog.reset_defaults()
    logging.getLogger().handlers[:] = before
    logging.captureWarnings(False)

"""Fixtures for all tests."""

from collections.abc import Iterator

import pytest
import structlog

pytest_plugins = ["tests.brokers"]


@pytest.fixture(autouse=True)
def log_as_at_the_start() -> Iterator[None]:
    """Commands that run in this process set the log's level and form; the next test begins without."""
    yield
    structlog.reset_defaults()

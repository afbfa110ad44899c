"""Tests that share a slow server or a fixture run in one process: with a pytest that is too new they silently do not."""

import os

import pytest


@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="one process runs all tests")
def test_each_test_has_a_group(request: pytest.FixtureRequest) -> None:
    assert request.node.nodeid.endswith("@tests/test_groups.py")

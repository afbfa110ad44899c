"""With several processes, the tests of a file run in one of them, and those that share a server in one."""

import os

import pytest

from tests.conftest import GROUPS, groups_of
from tests.folders import ROOT


def test_who_needs_a_server_or_the_real_models_shares_a_process(request: pytest.FixtureRequest) -> None:
    items = [it for it in request.session.items if it.get_closest_marker("slow") is None]
    groups = groups_of(items)
    for item in items:
        for name in set(getattr(item, "fixturenames", ())) & GROUPS.keys():
            assert groups[item.path] == GROUPS[name], item.nodeid
        if item.get_closest_marker("real"):
            assert groups[item.path] == "models", item.nodeid


def test_a_file_stays_whole(request: pytest.FixtureRequest) -> None:
    groups = groups_of(request.session.items)
    assert groups[request.path] == request.path.relative_to(ROOT).as_posix()


@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="one process runs all tests")
def test_groups_take_effect(request: pytest.FixtureRequest) -> None:
    """With a pytest that is too new for pytest-xdist they silently do not."""
    assert request.node.nodeid.endswith("@tests/test_groups.py")

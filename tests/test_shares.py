"""Several processes of tests: what is dear is had by one of them, and all of it comes."""

import pytest

from tests.folders import ROOT
from tests.shares import TOGETHER, in_turn, share


def test_files_are_whole_and_some_stay_together() -> None:
    assert share("tests/test_docs.py::test_a[x::y]") == "tests/test_docs.py"
    assert share("tests/models/ocr/test_reader.py::test_a") == share("tests/test_real_flow.py::test_b") == "real models"


def test_what_takes_long_comes_first_and_nothing_is_forgotten() -> None:
    ids = ["tests/a.py::a", "tests/flows/test_kill.py::a", "tests/a.py::b", "tests/models/test_vit.py::a"]
    assert in_turn(ids) == [3, 1, 0, 2]


def test_every_path_is_there() -> None:
    assert not [path for paths in TOGETHER.values() for path in paths if not (ROOT / path).exists()]


def test_who_needs_what_is_dear_is_named(request: pytest.FixtureRequest) -> None:
    needed = {"real models": set[str](), "Apache Kafka": set[str](), "Apache Cassandra": set[str]()}
    for item in request.session.items:
        if item.get_closest_marker("slow"):
            continue  # `just soak` runs in one process
        if item.get_closest_marker("real"):
            needed["real models"].add(item.nodeid)
        if not isinstance(item, pytest.Function):
            continue
        if {"real_broker", "best_broker", "broker"} & set(item.fixturenames):
            needed["Apache Kafka"].add(item.nodeid)
        kinds = item.callspec.params.values() if hasattr(item, "callspec") else ()
        if "cassandra_node" in item.fixturenames or "cassandra" in kinds:
            needed["Apache Cassandra"].add(item.nodeid)
    assert not [nodeid for name, nodeids in needed.items() for nodeid in nodeids if share(nodeid) != name]

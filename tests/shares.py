"""How tests are shared out where several processes run them (`pytest -n 2`): by files, and some files together."""

from collections.abc import Sequence
from typing import Any, Final

import pytest
from xdist.scheduler import LoadScopeScheduling

TOGETHER: Final = {
    "real models": ("tests/models/", "tests/commands/test_bench_ocr.py", "tests/test_real_flow.py"),
    "Apache Kafka": (
        "tests/connectors/kafka/",
        "tests/connectors/topics/test_admin.py",
        "tests/connectors/topics/test_topic_remnants.py",
        "tests/flows/test_kafka_flow.py",
        "tests/flows/test_taps.py",
        "tests/flows/test_similarity_flow.py",
        "tests/commands/test_bench_similarity.py",
        "tests/commands/test_topics.py",
    ),
    "Apache Cassandra": (
        "tests/connectors/cassandra/",
        "tests/connectors/store/test_every_store.py",
        "tests/connectors/store/test_two_flows.py",
        "tests/connectors/store/test_whole_stores.py",
        "tests/flows/test_cassandra_flow.py",
        "tests/search/test_indexed_posts.py",
    ),
}
"""What is dear to have, and who needs it: one process has it for all of them."""

FIRST: Final = (*TOGETHER, "tests/kubernetes/test_runbook.py", "tests/flows/")
"""What takes long, the longest first, so that at the end no process waits for another."""


def share(nodeid: str) -> str:
    """What a test has to share a process with."""
    for name, paths in TOGETHER.items():
        if nodeid.startswith(paths):
            return name
    return nodeid.partition("::")[0]


def in_turn(nodeids: Sequence[str]) -> list[int]:
    """Places of the tests in the order in which they are begun."""

    def turn(place: int) -> tuple[int, int]:
        group = share(nodeids[place])
        return next((turn for turn, name in enumerate(FIRST) if group.startswith(name)), len(FIRST)), place

    return sorted(range(len(nodeids)), key=turn)


class Shares(LoadScopeScheduling):
    """Gives the shares out, one after the other, to whoever has nothing to do."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        config.option.loadscopereorder = False  # the order is ours
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return share(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Shares:
    return Shares(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        items[:] = [items[place] for place in in_turn([item.nodeid for item in items])]

"""Posts, and what an uninterrupted run makes of them."""

from pathlib import Path

import pytest

from tests.factories import Posts, make_posts
from tests.flows.checks import check_clusters, check_outputs
from tests.flows.runs import Flow, Row


@pytest.fixture(scope="session")
def posts(tmp_path_factory: pytest.TempPathFactory) -> Posts:
    """Some 150 messages."""
    return make_posts(tmp_path_factory.mktemp("posts") / "images", 120)


@pytest.fixture(scope="session")
def uninterrupted(posts: Posts, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Row]:
    """Records by id; made in one go, in one epoch."""
    flow = Flow(tmp_path_factory.mktemp("uninterrupted"), posts.path, to_store=True)
    flow.worker(snapshot_seconds=600).end()
    check_outputs(flow, posts)
    check_clusters(flow.rows(), posts)
    return flow.rows()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of one flow."""
    return tmp_path / "flow"

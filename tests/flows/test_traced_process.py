"""A process of a flow sends its spans before it ends, in whichever way that is started."""

from pathlib import Path

import pytest

from tests.collector import collector
from tests.factories import Posts
from tests.flows.runs import Flow, logged


@pytest.mark.parametrize("how", ["worker", "bytewax"])
def test_spans_of_all_stages_come_and_bad_records_name_their_traces(how: str, posts: Posts, folder: Path) -> None:
    with collector() as found:
        flow = Flow(folder, posts.path, traces=found.url)
        said = (flow.worker() if how == "worker" else flow.bytewax("-s", "1")).end()
    assert {"parse", "embedding", "cluster", "text", "sentiment", "join"} <= {span.name for span in found.spans}
    received = {span.trace_id.hex() for span in found.named("receive post")}
    assert len(received) >= len(posts.ids)
    named = {line["trace"] for line in logged(said) if line.get("step") == "fetch"}
    assert named
    assert named <= received

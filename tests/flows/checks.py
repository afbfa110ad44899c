"""What must be true of a flow's outputs, whatever happened on the way."""

from collections import Counter, defaultdict
from datetime import datetime
from itertools import islice
from typing import Final

from connectors.store.cluster_ids import stored_merges
from tests.factories import TEMPLATES, Posts
from tests.flows.runs import Flow, Row, Running

_LEARNING: Final = 20
"""Posts at the start that do not tell: the mean of few images is mostly those few."""


def check_outputs(flow: Flow, posts: Posts) -> None:
    """Every post and every dead letter is there exactly once, in the file and, where there is one, the store."""
    rows = flow.rows()
    assert rows.keys() == posts.ids
    for global_id, row in rows.items():
        assert not row["missing"]
        assert bool(row["failures"]) == (global_id in posts.broken)
        assert (row["cluster"] == -1) == (global_id in posts.broken)
    if flow.store.exists():
        stored = flow.stored()
        assert outcomes(stored) == outcomes(rows)
        merges = stored_merges(flow.store)
        for global_id, row in stored.items():
            assert row["current_cluster"] == merges.current(global_id, row["cluster"])
    letters = [*posts.garbage, *(line.rstrip(b"\n") for line in posts.broken.values())]
    assert Counter(flow.dead_letters()) == Counter(letters)


def check_resumed(flow: Flow, runs: list[Running], posts: list[int]) -> None:
    """The records that are there come from these runs; the last run read no post but those that it wrote.

    Args:
        flow: With all its output.
        runs: In their order, each ended or killed.
        posts: New posts that each of them read.
    """
    rows = [datetime.fromisoformat(row["joined_time"]) for row in flow.rows().values()]
    kept = [sum(run.started <= time for time in rows) for run in runs]
    kept = [one - later for one, later in zip(kept, [*kept[1:], 0], strict=True)]
    assert sum(kept) == len(rows)
    assert all(one <= read for one, read in zip(kept, posts, strict=True)), (kept, posts)
    assert kept[-1] == posts[-1], (kept, posts)


def check_clusters(rows: dict[str, Row], posts: Posts) -> None:
    """A cluster's id stands for one template, whenever it was given; at the start the clusterer still learns."""
    templates: defaultdict[int, set[int]] = defaultdict(set)
    for global_id, template in islice(posts.template.items(), _LEARNING, None):
        templates[rows[global_id]["cluster"]].add(template)
    assert len(templates) >= TEMPLATES
    assert all(len(found) == 1 for found in templates.values()), dict(templates)


def outcome(row: Row) -> tuple[object, ...]:
    """What a run decides of a post and a crash must not change."""
    return row["cluster"], row["cluster_distance"], row["text"], row["description"], len(row["failures"])


def outcomes(rows: dict[str, Row]) -> dict[str, tuple[object, ...]]:
    return {global_id: outcome(row) for global_id, row in rows.items()}

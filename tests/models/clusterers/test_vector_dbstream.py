"""DBSTREAM on arrays against river's own: the same assignments, item by item."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river.cluster import DBSTREAM

from models.clusterers.vector_dbstream import VectorDBSTREAM

PARAMETERS = st.fixed_dictionaries(
    {
        "clustering_threshold": st.floats(0.3, 2.5),
        "fading_factor": st.sampled_from([0.001, 0.01, 0.05, 0.3]),
        "cleanup_interval": st.integers(1, 20),
        "intersection_factor": st.floats(0.02, 0.6),
        "minimum_weight": st.sampled_from([0.0, 1.0, 1.5]),
    }
)


def blobs(seed: int, count: int, dimension: int = 3) -> list[dict[int, float]]:
    """Items around centres that wander, so that micro-clusters meet, share density and fade."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(5, dimension)) * 2
    points = []
    for _ in range(count):
        centres += random.normal(size=centres.shape) * 0.05
        points.append(centres[random.integers(5)] + random.normal(size=dimension) * 0.5)
    return [dict(enumerate(point.tolist())) for point in points]


def agree(parameters: dict[str, Any], items: list[dict[int, float]]) -> tuple[Any, Any]:
    theirs, ours = DBSTREAM(**parameters), VectorDBSTREAM(**parameters)
    for number, item in enumerate(items):
        theirs.learn_one(item)
        ours.learn_one(item)
        assert ours.keys == list(theirs.micro_clusters)
        if number % 3 == 0:
            assert ours.predict_one(item) == theirs.predict_one(item)
            assert ours.n_clusters == theirs.n_clusters
    for row, micro in enumerate(theirs.micro_clusters.values()):
        assert ours.centres[row] == pytest.approx(np.array(list(micro.center.values())))
        assert ours.weights[row] == pytest.approx(micro.weight)
        assert ours.updated[row] == micro.last_update
    return theirs, ours


@settings(max_examples=40, deadline=None)
@given(PARAMETERS, st.integers(0, 10**6))
def test_the_assignments_are_river_s(parameters: dict[str, Any], seed: int) -> None:
    agree(parameters, blobs(seed, 60))


def test_the_streams_reach_what_they_are_to_compare() -> None:
    """Micro-clusters go, share density, and make fewer clusters than they are."""
    parameters = {
        "clustering_threshold": 1.0,
        "fading_factor": 0.01,
        "cleanup_interval": 5,
        "intersection_factor": 0.05,
    }
    theirs, ours = agree(parameters, blobs(1, 400))
    assert ours.keys[-1] >= len(ours.keys)
    assert theirs.s
    assert 1 < ours.n_clusters < len(ours.keys)


def test_it_predicts_before_it_has_learned_as_river_s_does() -> None:
    item = {0: 1.0, 1: 2.0}
    assert VectorDBSTREAM().predict_one(item) == DBSTREAM().predict_one(item)


def test_features_may_come_in_another_order() -> None:
    ours = VectorDBSTREAM(clustering_threshold=0.5)
    ours.learn_one({"a": 1.0, "b": 5.0})
    ours.learn_one({"b": 5.0, "a": 1.0})
    assert len(ours.keys) == 1

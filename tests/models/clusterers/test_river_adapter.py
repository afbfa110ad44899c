"""Our clusterers in river: they pass its checks, and a pipeline that is pickled goes on as if it had not been."""

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from river import base, compose, preprocessing
from river.checks import check_estimator, common

from core.errors import SettingsError
from models.clusterers.river_adapter import NEW_CLUSTER, RiverAdapter
from models.clusterers.vector_dbstream import VectorDBSTREAM

NAMES = ("verified", "relevant", "dbstream", "river-dbstream", "river-kmeans")
Item = dict[str, float]


def blobs(count: int) -> list[Item]:
    """Items around eight centres."""
    random = np.random.default_rng(3)
    centres = random.normal(size=(8, 12))
    points = centres[random.integers(8, size=count)] + 0.1 * random.normal(size=(count, 12))
    return [{f"feature {number}": value for number, value in enumerate(point)} for point in points.tolist()]


@pytest.mark.parametrize("model", [*map(RiverAdapter, NAMES), VectorDBSTREAM()], ids=str)
def test_rivers_checks_of_estimators_pass(model: base.Clusterer) -> None:
    check_estimator(model)


# River itself checks clusterers on no data.
@pytest.mark.parametrize(
    "check",
    [
        common.check_learn_one,
        common.check_pickling,
        common.check_shuffle_features_no_impact,
        common.check_emerging_features,
        common.check_disappearing_features,
        common.check_radically_disappearing_features,
        common.check_no_state_aliasing_with_input,
        common.check_clone_is_independent,
        common.check_bounded_memory_growth,
    ],
)
@pytest.mark.parametrize("name", ["verified", "relevant", "dbstream"])
def test_rivers_checks_on_data_pass(name: str, check: Callable[..., None]) -> None:
    check(RiverAdapter(name), [(item, None) for item in blobs(60)])


@pytest.mark.parametrize("name", NAMES)
def test_a_pipeline_pickled_in_the_middle_equals_one_that_was_not(name: str) -> None:
    def run(pipeline: Any, pickled_at: int | None) -> list[int]:
        found = []
        for number, item in enumerate(blobs(300)):
            if number == pickled_at:
                pipeline = pickle.loads(pickle.dumps(pipeline))
            found.append(pipeline.predict_one(item))
            pipeline.learn_one(item)
        return found

    def pipeline() -> Any:
        seeded = {"n_clusters": 4, "seed": 1} if name == "river-kmeans" else {}
        return compose.Pipeline(preprocessing.Normalizer(), RiverAdapter(name, **seeded))

    whole = run(pipeline(), None)
    assert run(pipeline(), 150) == whole
    assert len(set(whole)) >= 2


@pytest.mark.parametrize("name", ["verified", "relevant", "dbstream"])
def test_a_prediction_changes_nothing_and_is_what_is_learned_then(name: str) -> None:
    adapter = RiverAdapter(name)
    assert adapter.predict_one({"a": 1.0}) == NEW_CLUSTER
    agreed = 0
    for item in blobs(200):
        before = pickle.dumps(adapter)
        predicted = adapter.predict_one(item)
        assert pickle.dumps(adapter) == before
        adapter.learn_one(item)
        agreed += predicted in (NEW_CLUSTER, adapter.predict_one(item))
    assert agreed >= 190
    assert adapter.n_clusters > 1


def test_unknown_names_and_parameters_are_errors() -> None:
    with pytest.raises(SettingsError, match="there is no clusterer 'nonsense'; expected one of verified"):
        RiverAdapter("nonsense")
    with pytest.raises(SettingsError, match="nonsense"):
        RiverAdapter("relevant", nonsense=1)

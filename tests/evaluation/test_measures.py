import math

import numpy as np
import pytest

from memewax.evaluation.measures import Figure, Report, nested, with_intervals


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution() -> None:
    values = np.random.default_rng(5).normal(3, 2, 400)
    mean = with_intervals(400, lambda indices: {"mean": float(values[indices].mean())})["mean"]
    half = 1.96 * values.std() / math.sqrt(400)
    assert mean.value == pytest.approx(values.mean())
    assert mean.interval == pytest.approx((values.mean() - half, values.mean() + half), abs=0.15 * half)


def test_the_same_items_give_the_same_interval() -> None:
    def measure(indices: np.ndarray) -> dict[str, float]:
        return {"mean": float(indices.mean())}

    assert with_intervals(30, measure) == with_intervals(30, measure)


def test_draws_in_which_a_figure_is_not_defined_do_not_count() -> None:
    def measure(indices: np.ndarray) -> dict[str, float]:
        return {"a": math.nan if 0 not in indices else 1.0}

    assert with_intervals(5, measure)["a"] == Figure(1.0, (1.0, 1.0))


def test_names_with_dots_are_nested() -> None:
    assert nested({"cer": 1, "final.ari": 2, "final.nmi": 3}) == {"cer": 1, "final": {"ari": 2, "nmi": 3}}


def test_a_report_says_n_models_and_versions() -> None:
    report = Report("ocr", 7, {"cer": Figure(0.5, (0.25, 0.75)), "seconds": Figure(2.0)}, {"text": "m"}, ("numpy",))
    found = report.to_dict()["ocr"]
    assert (found["cer"], found["seconds"], found["n"]) == (0.5, 2.0, 7)
    assert found["intervals"] == {"cer": [0.25, 0.75]}
    assert found["models"] == {"text": "m"}
    assert found["versions"]["numpy"] == np.__version__

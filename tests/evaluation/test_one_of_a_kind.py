import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import WorldError
from memewax.evaluation.one_of_a_kind import TrueGroups, post_values, stream_order

POSTS = st.lists(st.tuples(st.sampled_from(["", "a", "b", "c", "d"]), st.integers(0, 4)), min_size=1, max_size=14)
NOBODY = np.zeros((0, 2), np.intp)


def same(templates: list[str], one: int, other: int) -> bool:
    return one == other or (templates[one] == templates[other] != "")


@given(POSTS, st.sets(st.tuples(st.integers(0, 13), st.integers(0, 13)), max_size=12))
def test_figures_of_posts_are_those_of_the_definition(
    posts: list[tuple[str, int]], listed: set[tuple[int, int]]
) -> None:
    """Post by post and pair by pair."""
    templates, labels = [it[0] for it in posts], [it[1] for it in posts]
    everyone = range(len(posts))
    pairs = {frozenset(it) for it in listed if max(it) < len(posts) and it[0] != it[1]}
    truth = TrueGroups.of(templates)
    places = np.array([it for it in sorted(listed) if max(it) < len(posts)], np.intp).reshape(-1, 2)
    found = post_values(truth, np.array(labels), places)
    for post in everyone:
        out = {it for it in everyone if frozenset((post, it)) in pairs}
        cluster = {it for it in everyone if labels[it] == labels[post]}
        mine = {it for it in everyone if same(templates, post, it)}
        right = cluster & mine
        if len(mine) > 1:
            assert found.precision[post] == pytest.approx(len(right) / len(cluster - (out - mine)))
            assert found.recall[post] == pytest.approx(len(right) / len(mine - (out - cluster)))
            assert np.isnan(found.joined[post])
        else:
            assert found.joined[post] == bool(cluster - out - {post})
            assert np.isnan(found.precision[post])
            assert np.isnan(found.recall[post])
        assert truth.singleton[post] == (len(mine) == 1)


@given(POSTS, st.integers(0, 5))
def test_means_over_draws_count_a_post_as_often_as_it_is_drawn(posts: list[tuple[str, int]], seed: int) -> None:
    templates, labels = [it[0] for it in posts], np.array([it[1] for it in posts])
    values = post_values(TrueGroups.of(templates), labels, NOBODY)
    drawn = np.random.default_rng(seed).integers(0, len(posts), len(posts))
    means = values.means().over(drawn)
    for name, each in (("bcubed_recall", values.recall), ("singletons_joined", values.joined)):
        for part, chosen in (("", drawn), ("quarter_2.", drawn[drawn * 4 // len(posts) == 1])):
            counted = each[chosen][~np.isnan(each[chosen])]
            expected = counted.mean() if counted.size else np.nan
            assert means[part + name] == pytest.approx(expected, nan_ok=True)


def test_no_template_is_not_a_template() -> None:
    truth = TrueGroups.of(["", "a", "", "b", "a"])
    assert truth.singleton.tolist() == [True, False, True, True, False]
    assert len(set(truth.groups.tolist())) == 4


@pytest.mark.parametrize(
    ("share", "templates", "others"), [(None, 60, 40), (0.2, 10, 40), (0.9, 60, 7), (0, 0, 40), (1, 60, 0)]
)
def test_a_stream_is_thinned_to_a_share_of_templates(share: float | None, templates: int, others: int) -> None:
    truth = TrueGroups.of(["a", "b", "c"] * 20 + [""] * 40)
    for shuffle in (None, 1, 2):
        order = stream_order(truth, shuffle, share)
        assert len(set(order)) == len(order)
        single = truth.singleton[order]
        assert ((~single).sum(), single.sum()) == (templates, others)
        assert (order == sorted(order)) == (shuffle is None)
    assert stream_order(truth, 1, share) == stream_order(truth, 1, share) != stream_order(truth, 2, share)


def test_a_share_needs_posts_of_both_kinds() -> None:
    with pytest.raises(WorldError, match="found 2 and 0"):
        stream_order(TrueGroups.of(["a", "a"]), None, 0.5)

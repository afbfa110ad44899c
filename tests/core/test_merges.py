"""Old ids lead to where their posts are now."""

from hypothesis import given
from hypothesis import strategies as st

from core.merges import Merges
from core.records import ClusterEvent

PAIRS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=30)


def merge(cluster: int, into: int) -> ClusterEvent:
    return ClusterEvent("merge", cluster, into)


def test_an_id_that_was_never_merged_is_itself() -> None:
    assert [Merges().resolve(cluster) for cluster in (-2, 0, 7)] == [-2, 0, 7]


def test_a_chain_is_followed_to_its_end() -> None:
    merges = Merges([merge(3, 2), merge(2, 1), ClusterEvent("retire", 1)])
    assert [merges.resolve(cluster) for cluster in (3, 2, 1, 3)] == [1, 1, 1, 1]


@given(PAIRS)
def test_what_was_merged_goes_by_one_id_whatever_the_order_and_however_often(pairs: list[tuple[int, int]]) -> None:
    events = [merge(*pair) for pair in pairs]
    once, twice = Merges(events), Merges(events + events)
    for cluster, into in pairs:
        assert once.resolve(cluster) == once.resolve(into)
        assert twice.resolve(cluster) == once.resolve(cluster)
        assert once.resolve(once.resolve(cluster)) == once.resolve(cluster)

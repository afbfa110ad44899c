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


def test_a_split_moves_posts_and_renames_no_cluster() -> None:
    merges = Merges([merge(3, 2), ClusterEvent("split", 2, 9, ("a",)), merge(2, 1)])
    assert [merges.resolve(cluster) for cluster in (3, 2, 9)] == [1, 1, 9]
    assert [merges.current(post, 3) for post in ("a", "b")] == [9, 1]
    assert merges.current("a", 5) == 5  # the same post, seen again in another cluster


def test_a_split_ends_when_the_parts_are_merged_again() -> None:
    merges = Merges([ClusterEvent("split", 2, 9, ("a", "b")), ClusterEvent("split", 9, 10, ("b",)), merge(9, 2)])
    assert [merges.current(post, 2) for post in ("a", "b")] == [2, 10]
    merges.add([ClusterEvent("split", 2, 11, ("a",))])
    assert merges.current("a", 2) == 11


def test_who_moved_on_and_came_back_is_back() -> None:
    merges = Merges([ClusterEvent("split", 2, 9, ("a",)), ClusterEvent("split", 9, 10, ("a",)), merge(10, 2)])
    assert [merges.current("a", cluster) for cluster in (2, 9, 10)] == [2, 2, 2]


STEPS = st.lists(st.tuples(st.sampled_from(["post", "merge", "split"]), st.integers(0, 99), st.integers(0, 99)))


@given(STEPS, st.integers(0, 99))
def test_every_post_is_found_where_it_went(steps: list[tuple[str, int, int]], again: int) -> None:
    """As if each merge and split had been done to each post; also where the last ones are told twice."""
    given_to: dict[str, int] = {}
    now: dict[str, int] = {}
    events: list[ClusterEvent] = []
    clusters = [0, 1, 2]  # that are alive, in the order of their ids
    fresh = 3
    for kind, one, other in steps:
        cluster, target = clusters[one % len(clusters)], clusters[other % len(clusters)]
        if kind == "post":
            given_to[str(len(now))] = now[str(len(now))] = cluster
        elif kind == "merge" and cluster != target:
            events.append(merge(cluster, target))
            now = {post: target if it == cluster else it for post, it in now.items()}
            clusters.remove(cluster)
        elif kind == "split" and (posts := [post for post, it in now.items() if it == cluster][: other % 3]):
            events.append(ClusterEvent("split", cluster, fresh, tuple(posts)))
            now |= dict.fromkeys(posts, fresh)
            clusters.append(fresh)
            fresh += 1
    merges = Merges(events)
    for _ in range(2):
        assert {post: merges.current(post, it) for post, it in given_to.items()} == now
        merges.add(events[again % (len(events) + 1) :])


def test_a_state_comes_to_the_same() -> None:
    merges = Merges([merge(3, 2), ClusterEvent("split", 2, 9, ("a",)), merge(2, 1)])
    again = Merges.of(merges.state())
    again.add([merge(9, 0)])
    assert [again.current("a", 3), again.current("b", 3), merges.current("a", 3)] == [0, 1, 9]

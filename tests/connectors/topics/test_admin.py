"""Topics on a cluster: made once, compared, never changed."""

import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from confluent_kafka.admin import AdminClient

from connectors.topics.admin import Difference, TopicCluster, TopicState, differences, fitted
from connectors.topics.declared import TOPICS, Topic, chosen
from core.errors import SettingsError, WorldError
from tests.brokers import MockBroker, RealBroker, produce, read_topic, unused_address

POSTS, ANALYTICS = chosen(["posts", "analytics"])
AS_DECLARED = TopicState(POSTS.partitions, POSTS.replication, POSTS.config)


@pytest.fixture
def own(real_broker: RealBroker) -> Iterator[list[Topic]]:
    """Two topics under names that nobody else uses, gone afterwards."""
    names = f"-{uuid.uuid4().hex[:8]}"
    topics = [replace(it, name=it.name + names, replication=1) for it in (POSTS, ANALYTICS)]
    yield topics
    admin = AdminClient({"bootstrap.servers": real_broker.bootstrap})
    for future in admin.delete_topics([topic.name for topic in topics]).values():
        future.exception(30)


def cluster(bootstrap: str, timeout: float = 30.0, **config: str) -> TopicCluster:
    return TopicCluster(bootstrap, config, timeout)


# Comparing


def test_what_is_as_declared_has_no_differences() -> None:
    assert differences(POSTS, AS_DECLARED) == []


def test_a_topic_that_is_missing_is_one_difference() -> None:
    assert differences(POSTS, None) == [Difference("posts", "topic", "missing", "exists")]


def test_each_difference_is_told_with_both_values() -> None:
    found = TopicState(3, 1, {**POSTS.config, "retention.ms": "5", "min.insync.replicas": None})
    assert differences(POSTS, found) == [
        Difference("posts", "partitions", "3", "8"),
        Difference("posts", "replication", "1", "3"),
        Difference("posts", "min.insync.replicas", "unknown", "2"),
        Difference("posts", "retention.ms", "5", "604800000"),
    ]


def test_a_policy_of_two_words_has_no_order() -> None:
    found = TopicState(8, 3, {**ANALYTICS.config, "cleanup.policy": "delete,compact"})
    assert differences(ANALYTICS, found) == []


@pytest.mark.parametrize(("brokers", "copies"), [(1, 1), (2, 2), (3, 3), (5, 3)])
def test_a_small_cluster_has_fewer_copies(brokers: int, copies: int) -> None:
    assert {topic.replication for topic in fitted(TOPICS, brokers)} == {copies}


# On a cluster


def test_topics_are_made_as_they_are_declared(real_broker: RealBroker, own: list[Topic]) -> None:
    on = cluster(real_broker.bootstrap)
    assert on.find(own) == {}
    assert sorted(on.create(own)) == sorted(topic.name for topic in own)
    found = on.find(own)
    assert [difference for topic in own for difference in differences(topic, found[topic.name])] == []


def test_making_them_twice_is_harmless(real_broker: RealBroker, own: list[Topic]) -> None:
    on = cluster(real_broker.bootstrap)
    on.create(own)
    produce(real_broker, own[0].name, [b"a post"])
    before = on.find(own)
    assert on.create(own) == []
    assert on.find(own) == before
    assert [stored.value for stored in read_topic(real_broker, own[0].name)] == [b"a post"]


def test_what_is_there_otherwise_is_reported_and_not_changed(real_broker: RealBroker, own: list[Topic]) -> None:
    on = cluster(real_broker.bootstrap)
    on.create([replace(topic, partitions=2, compacted=False) for topic in own])
    assert on.create(own) == []
    found = on.find(own)
    posts, analytics = own
    assert differences(posts, found[posts.name]) == [Difference(posts.name, "partitions", "2", "8")]
    assert [(it.what, it.found) for it in differences(analytics, found[analytics.name])] == [
        ("partitions", "2"),
        ("cleanup.policy", "delete"),
    ]


def test_two_that_make_them_at_the_same_time_do_not_disturb_each_other(
    real_broker: RealBroker, own: list[Topic]
) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: cluster(real_broker.bootstrap).create(own), range(4)))
    assert sorted(name for names in made for name in names) == sorted(topic.name for topic in own)


def test_the_missing_ones_alone_are_made(real_broker: RealBroker, own: list[Topic]) -> None:
    on = cluster(real_broker.bootstrap)
    on.create(own[:1])
    assert on.create(own) == [own[1].name]


def test_more_copies_than_brokers_are_refused_before_anything_is_made(
    real_broker: RealBroker, own: list[Topic]
) -> None:
    on = cluster(real_broker.bootstrap)
    assert on.brokers() == 1
    with pytest.raises(WorldError, match=r"2 replicas.* 1 broker:.*--replication"):
        on.create([own[0], replace(own[1], replication=2)])
    assert on.find(own) == {}


# Without one


def test_a_broker_that_is_not_there_is_an_error_after_the_timeout() -> None:
    start = time.monotonic()
    with pytest.raises(WorldError, match="start the broker"):
        cluster(unused_address(), timeout=1).brokers()
    assert time.monotonic() - start < 20


def test_a_cluster_that_cannot_make_topics_says_so(mock_broker: MockBroker) -> None:
    with pytest.raises(WorldError, match="creating posts-never at"):
        cluster(mock_broker.bootstrap, timeout=1).create([replace(POSTS, name="posts-never", replication=1)])


def test_a_wrong_property_is_named_and_secrets_are_kept() -> None:
    with pytest.raises(SettingsError, match=r"no\.such\.property") as caught:
        cluster(unused_address(), **{"sasl.password": "hush", "no.such.property": "1"})
    assert "hush" not in str(caught.value)

"""KafkaTopic: what it reads, where it goes on, and what it does when the broker is away."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from structlog.testing import capture_logs

from connectors.custom_columns import with_custom_columns
from connectors.endpoints import POSTS_FROM, endpoint
from connectors.inspection import inspect_source
from connectors.kafka.group_offsets import GroupOffsets
from connectors.kafka.kafka_source import KafkaTopic
from connectors.sinks.record_table import stored_posts
from connectors.sources.parse import parsed
from connectors.sources.source import Position, Reader
from core.errors import SettingsError, WorldError
from core.records import DeadLetter, Message, Post, Removal
from dataflows.all_settings import Settings
from tests.brokers import Broker, MockBroker, RealBroker, committed, create_topic, produce, unused_address


def source(bootstrap: str, topic: str, *, config: dict[str, str] | None = None, **changes: Any) -> KafkaTopic:
    return KafkaTopic(
        bootstrap, topic, config=config or {}, **{"follow": False, "batch": 32, "timeout": 30.0, **changes}
    )


@contextmanager
def opened(topic: KafkaTopic, part: str = "0", resume: Position | None = None) -> Iterator[Reader]:
    reader = topic.open(part, resume)
    yield reader
    reader.close()


def read(reader: Reader, count: int | None = None, seconds: float = 60) -> tuple[list[Message], Position | None]:
    """Read `count` messages, or to the end; and where to go on."""
    messages: list[Message] = []
    resume = None
    deadline = time.monotonic() + seconds
    while not reader.ended and (count is None or len(messages) < count):
        assert time.monotonic() < deadline, f"only {len(messages)} messages after {seconds} s"
        unit = reader.read()
        if unit is None:
            time.sleep(0.005)
            continue
        messages += unit.messages
        resume = unit.resume
    return messages, resume


def numbers(count: int, start: int = 0) -> list[bytes]:
    return [b"%d" % number for number in range(start, start + count)]


def remove_before(broker: RealBroker, topic: str, offset: int) -> None:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})  # must live until the answer has come
    place = TopicPartition(topic, 0, offset)
    admin.delete_records([place])[place].result(30)


def test_a_part_for_each_partition(real_broker: RealBroker) -> None:
    topic = create_topic(real_broker, 11)
    assert source(real_broker.bootstrap, topic).parts() == [str(number) for number in range(11)]


def test_all_partitions_are_read_to_their_ends(broker: Broker) -> None:
    topic = create_topic(broker, 3)
    produce(broker, topic, numbers(1000))
    it = source(broker.bootstrap, topic)
    values = []
    for part in it.parts():
        with opened(it, part) as reader:
            values += [message.value for message in read(reader)[0]]
    assert sorted(values, key=int) == numbers(1000)


def test_key_headers_and_origin_are_kept(broker: Broker) -> None:
    topic = create_topic(broker)
    headers = (("type", b"post"), ("empty", None), ("type", b"twice"))
    produce(broker, topic, [b"first", b"second"], key=b"7-imgur", headers=headers, partition=0)
    with opened(source(broker.bootstrap, topic)) as reader:
        messages, _ = read(reader)
    assert messages[1] == Message(b"second", f"kafka:{topic}/0@1", b"7-imgur", headers)


def test_a_unit_is_no_larger_than_the_batch(broker: Broker) -> None:
    topic = create_topic(broker)
    produce(broker, topic, numbers(100), partition=0)
    sizes = []
    with opened(source(broker.bootstrap, topic, batch=7)) as reader:
        while not reader.ended:
            unit = reader.read()
            sizes += [len(unit.messages)] if unit else []
    assert max(sizes) <= 7
    assert sum(sizes) == 100


def test_an_empty_partition_has_ended(broker: Broker) -> None:
    topic = create_topic(broker)
    with opened(source(broker.bootstrap, topic)) as reader:
        assert reader.ended


@pytest.mark.parametrize("done", [1, 50, 99, 100])
def test_resuming_reads_exactly_the_rest(broker: Broker, done: int) -> None:
    topic = create_topic(broker)
    produce(broker, topic, numbers(100), partition=0)
    it = source(broker.bootstrap, topic, batch=1)
    with opened(it) as reader:
        first, resume = read(reader, done)
    with opened(it, "0", resume) as reader:
        rest, _ = read(reader)
    assert [message.value for message in first + rest] == numbers(100)
    assert len(first) == done


def test_a_followed_partition_gives_what_comes_later(broker: Broker) -> None:
    topic = create_topic(broker)
    produce(broker, topic, numbers(3), partition=0)
    with opened(source(broker.bootstrap, topic, follow=True)) as reader:
        first, _ = read(reader, 3)
        produce(broker, topic, numbers(3, 3), partition=0)
        later, _ = read(reader, 3)
        assert not reader.ended
    assert [message.value for message in first + later] == numbers(6)


def test_a_followed_partition_may_be_silent_for_longer_than_the_timeout(broker: Broker) -> None:
    topic = create_topic(broker)
    with opened(source(broker.bootstrap, topic, follow=True, timeout=0.2)) as reader:
        until = time.monotonic() + 1
        while time.monotonic() < until:
            assert reader.read() is None
            time.sleep(0.01)


def test_lag_counts_what_is_left(broker: Broker) -> None:
    topic = create_topic(broker)
    produce(broker, topic, numbers(100), partition=0)
    with opened(source(broker.bootstrap, topic, batch=10)) as reader:
        read(reader, 10)
        assert reader.lag() > 0
        read(reader)
        assert reader.lag() == 0


def test_transactions_leave_no_hole_and_no_wait_at_the_end(real_broker: RealBroker) -> None:
    topic = create_topic(real_broker)
    producer = Producer({"bootstrap.servers": real_broker.bootstrap, "transactional.id": topic})
    producer.init_transactions(30)
    for value, commit in ((b"kept", True), (b"aborted", False), (b"kept too", True), (b"aborted too", False)):
        producer.begin_transaction()
        producer.produce(topic, value)
        producer.flush(30)
        producer.commit_transaction(30) if commit else producer.abort_transaction(30)
    with opened(source(real_broker.bootstrap, topic)) as reader:
        messages, _ = read(reader)
        assert reader.ended
    assert [message.value for message in messages] == [b"kept", b"kept too"]


def test_a_position_before_the_start_goes_on_at_the_start_and_says_so(real_broker: RealBroker) -> None:
    topic = create_topic(real_broker)
    produce(real_broker, topic, numbers(10))
    remove_before(real_broker, topic, 6)
    with capture_logs() as logs, opened(source(real_broker.bootstrap, topic), "0", position(2)) as reader:
        messages, _ = read(reader)
    assert [message.value for message in messages] == numbers(4, 6)
    assert [entry["gone"] for entry in logs if "gone" in entry] == [4]


def test_messages_removed_while_waiting_are_skipped_and_reported(real_broker: RealBroker) -> None:
    topic = create_topic(real_broker)
    produce(real_broker, topic, numbers(1))
    # So small a fetch that the consumer has not read ahead what is removed.
    small = {"queued.min.messages": "1", "fetch.message.max.bytes": "1000", "max.partition.fetch.bytes": "1000"}
    with opened(source(real_broker.bootstrap, topic, batch=1, follow=True, config=small)) as reader:
        read(reader, 1)
        produce(real_broker, topic, [b"x" * 900] * 2000)
        remove_before(real_broker, topic, 2000)
        with capture_logs() as logs:
            last = read(reader, 1)[0]
            while last[-1].origin != f"kafka:{topic}/0@2000":
                last = read(reader, 1)[0]
    assert sum(entry.get("gone", 0) for entry in logs) > 0


def test_a_position_beyond_the_end_is_an_error(broker: Broker) -> None:
    topic = create_topic(broker)
    produce(broker, topic, numbers(3), partition=0)
    with pytest.raises(WorldError, match=r"ends at 3.*new recovery folder"):
        source(broker.bootstrap, topic).open("0", position(4))


def test_a_position_of_another_version_is_an_error(mock_broker: MockBroker) -> None:
    topic = create_topic(mock_broker)
    with pytest.raises(WorldError, match="version 2"):
        source(mock_broker.bootstrap, topic).open("0", {"version": 2, "offset": 0})


def test_an_unknown_topic_is_an_error_and_is_not_created(broker: Broker) -> None:
    for _ in range(2):
        with pytest.raises(WorldError, match=r"no-such-topic.*create the topic"):
            source(broker.bootstrap, "no-such-topic").parts()


def test_an_unreachable_broker_is_an_error_after_the_timeout() -> None:
    start = time.monotonic()
    with pytest.raises(WorldError, match="start the broker"):
        source(unused_address(), "topic", timeout=1).parts()
    assert time.monotonic() - start < 20


def test_a_wrong_property_is_an_error_that_keeps_secrets(mock_broker: MockBroker) -> None:
    config = {"sasl.password": "hush", "no.such.property": "1"}
    with pytest.raises(SettingsError, match=r"no\.such\.property") as caught:
        source(mock_broker.bootstrap, "topic", config=config).parts()
    assert "hush" not in str(caught.value)


def test_a_broker_gone_for_good_is_an_error_after_the_timeout() -> None:
    broker = MockBroker()
    topic = create_topic(broker)
    with opened(source(broker.bootstrap, topic, follow=True, timeout=1)) as reader:
        reader.read()
        broker.stop()
        with pytest.raises(WorldError, match="start the broker"):
            read(reader, 1, seconds=30)


@pytest.mark.timeout(40)  # librdkafka's own patience is 45 s
def test_a_commit_that_nobody_can_take_any_more_is_not_waited_for_long() -> None:
    broker = MockBroker()
    topic = create_topic(broker)
    produce(broker, topic, numbers(3), partition=0)
    with opened(source(broker.bootstrap, topic, follow=True, timeout=1, group="watched")) as reader:
        read(reader, 3)
        reader.epoch_ended(position(2))
        broker.stop()
        with pytest.raises(WorldError, match="start the broker"):
            read(reader, 1, seconds=30)
        reader.epoch_ended(position(3))


def test_a_broker_killed_while_reading_costs_nothing(real_broker: RealBroker) -> None:
    topic = create_topic(real_broker)
    produce(real_broker, topic, [b"%06d" % number + b"x" * 300 for number in range(100_000)])
    few_ahead = {"queued.max.messages.kbytes": "1024"}
    with opened(source(real_broker.bootstrap, topic, batch=100, timeout=120, config=few_ahead)) as reader:
        before, _ = read(reader, 1000)
        real_broker.kill()
        for _ in range(200):
            unit = reader.read()
            before += unit.messages if unit else []
        restart = threading.Thread(target=real_broker.start)
        restart.start()
        after, _ = read(reader, seconds=120)
        restart.join()
    assert [int(message.value[:6]) for message in before + after] == list(range(100_000))


def test_a_broker_that_starts_late_is_waited_for(real_broker: RealBroker) -> None:
    topic = create_topic(real_broker)
    produce(real_broker, topic, numbers(3))
    real_broker.stop()
    restart = threading.Thread(target=real_broker.start)
    restart.start()
    it = source(real_broker.bootstrap, topic, timeout=120)
    assert it.parts() == ["0"]
    with opened(it) as reader:
        assert len(read(reader)[0]) == 3
    restart.join()


def test_what_was_passed_is_committed_for_who_watches(broker: Broker) -> None:
    topic = create_topic(broker)
    produce(broker, topic, numbers(100), partition=0)
    group = f"watched-{topic}"
    with opened(source(broker.bootstrap, topic, group=group)) as reader:
        read(reader, 50)
        reader.epoch_ended(position(40))
        reader.epoch_ended(position(40))
        reader.read()
    assert committed(broker, topic, group) == {0: 40}
    with opened(source(broker.bootstrap, topic, group=group)) as reader:
        assert len(read(reader)[0]) == 100, "nothing is gone on from there"
        reader.epoch_ended(position(100))
    reader.epoch_ended(position(7))  # it is closed
    assert committed(broker, topic, group) == {0: 100}


def test_the_group_of_the_properties_wins_and_none_is_none(broker: Broker) -> None:
    topic = create_topic(broker)
    produce(broker, topic, numbers(3), partition=0)
    own, other = f"own-{topic}", f"other-{topic}"
    for made in (
        source(broker.bootstrap, topic, group=own, config={"group.id": other}),
        source(broker.bootstrap, topic),
    ):
        with opened(made) as reader:
            read(reader)
            reader.epoch_ended(position(3))
    assert committed(broker, topic, other) == {0: 3}
    assert committed(broker, topic, own) == committed(broker, topic, "memewax") == {}


def test_a_group_that_may_not_be_used_is_a_line_and_ends_nothing() -> None:
    offsets = GroupOffsets(TopicPartition("posts", 0), "theirs")
    with capture_logs() as logs:
        for code in (
            KafkaError._TRANSPORT,
            KafkaError.GROUP_AUTHORIZATION_FAILED,
            KafkaError.GROUP_AUTHORIZATION_FAILED,
        ):
            offsets.committed(KafkaError(code), [])
    (line,) = logs
    assert (line["group"], line["topic"]) == ("theirs", "posts")
    assert "MEMEWAX_KAFKA_GROUP" in line["advice"]


def position(offset: int) -> Position:
    return {"version": 1, "offset": offset}


def test_a_key_without_a_value_is_a_delete_of_it(broker: Broker) -> None:
    topic = create_topic(broker)
    produce(broker, topic, [None], key=b"1_2-a", partition=0)
    produce(broker, topic, [None], partition=0)
    with opened(source(broker.bootstrap, topic)) as reader:
        messages, _ = read(reader)
    found = [parsed(it) for it in messages]
    assert isinstance(found[0], Removal)
    assert (found[0].global_id, found[0].post_id) == ("1_2-a", "1_2-a")
    assert found[0].time is not None
    assert abs(found[0].time.timestamp() - time.time()) < 60
    assert isinstance(found[1], DeadLetter)


def test_fields_of_messages_are_called_as_the_settings_say(mock_broker: MockBroker, tmp_path: Path) -> None:
    topic = create_topic(mock_broker)
    bodies = [
        {"id": 7, "image_url": "https://x/7.png", "desc": "hi", "yr": "2024", "free": 1, "post_id": "p"},
        {"global_id": "3", "deleted": True},
        {"id": 8, "image_url": "https://x/8.png", "yr": "never"},
    ]
    produce(mock_broker, topic, [orjson.dumps(it) for it in bodies] + [b"{"])
    address = f"kafka://{mock_broker.bootstrap}/{topic}"
    columns = ("global_id=id", "url=image_url", "year=yr:int", "mood=how")
    settings = Settings(source=(address,), to=(str(tmp_path / "store"),), columns=columns, follow=False)
    found = endpoint(address, POSTS_FROM)
    made = found.source(settings.options_of(found), settings)
    (place,) = made.places()
    place.check()
    assert [part for part in made.parts() if part]
    items: list[Any] = []
    for number in place.part_numbers(()):
        reader = place.open(number, None, ())
        items += [parsed(it) for it in read(reader)[0]]
        reader.close()
    posts = {it.global_id: it for it in items if isinstance(it, Post)}
    assert {it.url for it in posts.values()} == {"https://x/7.png", "https://x/8.png"}
    assert (posts["7"].description, posts["7"].whole_id, posts["7"].extra) == ("hi", "p", {"free": 1, "year": 2024})
    assert posts["8"].extra.get("year") is None
    assert {type(it) for it in items if not isinstance(it, Post)} == {Removal, DeadLetter}
    table = with_custom_columns(stored_posts({"embedding": 8, "text_embedding": 8}), settings)
    assert [it.name for it in table.columns if it.is_custom] == ["year", "mood"]  # no free field of a message
    told = inspect_source(made, most=10, shown=1, seconds=5)
    assert told.places[0].own == {"year": "int", "mood": "text"}
    assert told.posts == 2


def test_without_columns_messages_stay_as_they_are(mock_broker: MockBroker) -> None:
    address = f"kafka://{mock_broker.bootstrap}/{create_topic(mock_broker)}"
    found = endpoint(address, POSTS_FROM)
    settings = Settings(source=(address,))
    assert isinstance(found.source(settings.options_of(found), settings), KafkaTopic)

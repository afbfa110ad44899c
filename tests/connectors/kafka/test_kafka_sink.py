"""KafkaSink: what arrives, what is never lost, and what it says when it cannot write."""

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from bytewax import operators as op
from bytewax.dataflow import Dataflow
from bytewax.errors import BytewaxRuntimeError
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import TestingSource, run_main

from connectors.kafka.kafka_sink import KafkaPartWriter, KafkaSink
from connectors.sinks.sink import OutMessage
from core.errors import SettingsError, WorldError
from operators import steps
from tests.brokers import Broker, MockBroker, RealBroker, create_topic, read_topic, unused_address

Item = tuple[str, OutMessage]


def sink(bootstrap: str, topic: str, *, config: dict[str, str] | None = None, **changes: Any) -> KafkaSink:
    return KafkaSink(bootstrap, topic, config=config or {}, **{"timeout": 30.0, **changes})


def part(bootstrap: str, topic: str, **changes: Any) -> KafkaPartWriter:
    return sink(bootstrap, topic, **changes).open("0", None)


def item(number: int) -> Item:
    key = f"{number % 50}-imgur"
    return key, OutMessage(key.encode(), b"%d" % number)


def flow(items: list[Any], to: KafkaSink) -> Dataflow:
    flow = Dataflow("flow")
    steps.write("out", op.input("in", flow, TestingSource(items, 10)), to)
    return flow


@pytest.fixture
def recovery(tmp_path: Path) -> Iterator[RecoveryConfig]:
    init_db_dir(tmp_path, 1)
    return RecoveryConfig(tmp_path)


def test_key_value_and_headers_arrive(broker: Broker) -> None:
    topic = create_topic(broker)
    headers = (("stage", b"ocr"), ("empty", None), ("stage", b"again"))
    out = part(broker.bootstrap, topic)
    out.write([OutMessage(b"7-imgur", b"value", headers)])
    out.close()
    (stored,) = read_topic(broker, topic)
    assert (stored.key, stored.value, stored.headers) == (b"7-imgur", b"value", headers)


def test_all_is_delivered_when_a_snapshot_is_taken(broker: Broker) -> None:
    topic = create_topic(broker, 4)
    out = part(broker.bootstrap, topic)
    for start in range(0, 10_000, 100):
        out.write([item(number)[1] for number in range(start, start + 100)])
    out.snapshot()
    assert sorted(int(stored.value or b"") for stored in read_topic(broker, topic)) == list(range(10_000))


def test_a_message_goes_to_the_topic_that_it_names_or_to_the_first(broker: Broker) -> None:
    first, second = create_topic(broker), create_topic(broker)
    to = KafkaSink(broker.bootstrap, first, second, config={}, timeout=30)
    out = to.open("0", None)
    out.write([OutMessage(b"1", b"a"), OutMessage(b"1", b"b", topic=second), OutMessage(b"1", b"c", topic=first)])
    out.close()
    assert [stored.value for stored in read_topic(broker, first)] == [b"a", b"c"]
    assert [stored.value for stored in read_topic(broker, second)] == [b"b"]


def test_a_key_has_one_partition_and_its_order(broker: Broker) -> None:
    topic = create_topic(broker, 4)
    to = sink(broker.bootstrap, topic)
    parts = [to.open(name, None) for name in to.parts()]
    for number in range(1000):
        key, message = item(number)
        parts[to.hash_of_key(key) % len(parts)].write([message])
    for one in parts:
        one.close()
    by_key: dict[bytes | None, list[tuple[int, int, int]]] = {}
    for stored in read_topic(broker, topic):
        by_key.setdefault(stored.key, []).append((stored.partition, stored.offset, int(stored.value or b"")))
    assert len(by_key) == 50
    for places in by_key.values():
        assert len({partition for partition, _, _ in places}) == 1
        assert [number for _, _, number in sorted(places)] == sorted(number for _, _, number in places)


def test_messages_without_a_key_are_spread(broker: Broker) -> None:
    topic = create_topic(broker, 4)
    out = part(broker.bootstrap, topic, config={"sticky.partitioning.linger.ms": "0"})
    out.write([OutMessage(None, b"x")] * 200)
    out.close()
    stored = read_topic(broker, topic)
    assert len(stored) == 200
    assert len({one.partition for one in stored}) > 1


def test_parts_do_not_depend_on_the_process(mock_broker: MockBroker) -> None:
    to = sink(mock_broker.bootstrap, "topic")
    assert to.parts() == ["0", "1", "2", "3", "4", "5", "6", "7"]
    assert to.hash_of_key("18fr14v-reddit") == 3832892058


def test_a_full_queue_is_waited_for(broker: Broker) -> None:
    topic = create_topic(broker)
    out = part(broker.bootstrap, topic, config={"queue.buffering.max.messages": "10"})
    out.write([item(number)[1] for number in range(300)])
    out.close()
    assert len(read_topic(broker, topic)) == 300


def test_check_passes_where_all_is_well(broker: Broker) -> None:
    sink(broker.bootstrap, create_topic(broker)).check()


def test_check_reports_an_unreachable_broker_after_the_timeout() -> None:
    start = time.monotonic()
    with pytest.raises(WorldError, match=r"writing to topic out.*start the broker"):
        sink(unused_address(), "out", timeout=1).check()
    assert time.monotonic() - start < 20


def test_check_reports_a_topic_that_cannot_be(real_broker: RealBroker) -> None:
    with pytest.raises(WorldError, match="no such name"):
        sink(real_broker.bootstrap, "no such name").check()


def test_check_reports_a_wrong_property_and_keeps_secrets(mock_broker: MockBroker) -> None:
    with pytest.raises(SettingsError, match=r"no\.such\.property") as caught:
        sink(mock_broker.bootstrap, "out", config={"sasl.password": "hush", "no.such.property": "1"}).check()
    assert "hush" not in str(caught.value)


def test_a_message_too_large_is_an_error(mock_broker: MockBroker) -> None:
    out = part(mock_broker.bootstrap, create_topic(mock_broker))
    with pytest.raises(WorldError, match=r"7-imgur.*message\.max\.bytes"):
        out.write([OutMessage(b"7-imgur", b"x" * 1_000_000)])


def test_a_message_too_large_is_cut_where_that_is_asked_for(broker: Broker) -> None:
    topic = create_topic(broker)
    out = part(broker.bootstrap, topic, oversize="cut")
    out.write([OutMessage(b"7-imgur", b"x" * 5_000_000, (("stage", b"parse"),))])
    out.close()
    (stored,) = read_topic(broker, topic)
    assert stored.headers == (("stage", b"parse"), ("memewax.value-bytes", b"5000000"))
    assert 990_000 < len(stored.value or b"") < 1_000_000


def test_a_message_that_the_topic_refuses_is_an_error(real_broker: RealBroker) -> None:
    topic = create_topic(real_broker, **{"max.message.bytes": "2000"})
    out = part(real_broker.bootstrap, topic)
    out.write([OutMessage(b"7-imgur", b"x" * 3000)])
    with pytest.raises(WorldError, match=r"max\.message\.bytes"):
        out.snapshot()


def test_a_broker_gone_for_good_is_an_error_of_the_snapshot() -> None:
    broker = MockBroker()
    out = part(broker.bootstrap, create_topic(broker), timeout=1)
    broker.stop()
    out.write([item(0)[1]])
    with pytest.raises(WorldError, match=r"writing to topic.*start the broker"):
        out.snapshot()


def test_a_broker_gone_for_good_is_an_error_of_a_later_write() -> None:
    broker = MockBroker()
    out = part(broker.bootstrap, create_topic(broker), timeout=1)
    broker.stop()

    def keep_writing() -> None:
        for number in range(3000):
            out.write([item(number)[1]])
            time.sleep(0.01)

    with pytest.raises(WorldError, match="writing to topic"):
        keep_writing()


def test_closing_never_raises() -> None:
    """Bytewax closes while it handles an error, and a second error then aborts the process."""
    broker = MockBroker()
    out = part(broker.bootstrap, create_topic(broker), timeout=1)
    broker.stop()
    out.write([item(0)[1]])
    out.close()
    out.close()


def test_a_broker_killed_while_writing_costs_nothing(real_broker: RealBroker) -> None:
    topic = create_topic(real_broker, 2)
    out = part(real_broker.bootstrap, topic, timeout=120)
    for number in range(5000):
        out.write([item(number)[1]])
    real_broker.kill()
    restart = threading.Thread(target=real_broker.start)
    restart.start()
    for number in range(5000, 10_000):
        out.write([item(number)[1]])
    out.snapshot()
    restart.join()
    assert sorted(int(stored.value or b"") for stored in read_topic(real_broker, topic)) == list(range(10_000))


@pytest.mark.parametrize("recover", [False, True], ids=["without recovery", "with recovery"])
def test_a_flow_writes_everything(broker: Broker, recovery: RecoveryConfig, recover: bool) -> None:
    topic = create_topic(broker, 4)
    to = sink(broker.bootstrap, topic)
    run_main(flow([item(number) for number in range(500)], to), recovery_config=recovery if recover else None)
    assert sorted(int(stored.value or b"") for stored in read_topic(broker, topic)) == list(range(500))


def test_a_flow_resumed_after_a_crash_has_lost_nothing(broker: Broker, recovery: RecoveryConfig) -> None:
    topic = create_topic(broker, 4)
    items = [*(item(number) for number in range(500)), TestingSource.ABORT(), *(item(n) for n in range(500, 800))]
    for _ in range(2):
        run_main(flow(items, sink(broker.bootstrap, topic)), epoch_interval=timedelta(0), recovery_config=recovery)
    found = [int(stored.value or b"") for stored in read_topic(broker, topic)]
    assert set(found) == set(range(800))
    assert len(found) < 1000  # it went on from the snapshot


def test_a_flow_without_its_broker_fails_rather_than_ends(recovery: RecoveryConfig) -> None:
    broker = MockBroker()
    to = sink(broker.bootstrap, create_topic(broker), timeout=1)

    def items() -> Iterator[Item]:
        yield from map(item, range(20))
        broker.stop()
        yield from map(item, range(20, 40))

    failing = Dataflow("flow")
    steps.write("out", op.input("in", failing, TestingSource(items(), 10)), to)
    with pytest.raises(BytewaxRuntimeError) as caught:
        run_main(failing, recovery_config=recovery)
    assert isinstance(caught.value.__cause__, WorldError)


def test_nothing_counts_as_done_before_it_is_delivered(recovery: RecoveryConfig, real_broker: RealBroker) -> None:
    """An epoch whose messages a broker has not acknowledged is written again by the next run."""
    topic = create_topic(real_broker, 2)
    unreached = MockBroker()
    to = sink(unreached.bootstrap, create_topic(unreached), timeout=1)
    to.open("0", None)  # connected, and then
    items = [item(number) for number in range(100)]
    failing = flow(items, to)
    unreached.stop()
    with pytest.raises(BytewaxRuntimeError):
        run_main(failing, epoch_interval=timedelta(0), recovery_config=recovery)
    run_main(flow(items, sink(real_broker.bootstrap, topic)), epoch_interval=timedelta(0), recovery_config=recovery)
    assert {int(stored.value or b"") for stored in read_topic(real_broker, topic)} == set(range(100))

"""What Kafka's clients of ours share."""

import threading
from types import SimpleNamespace
from typing import Any, cast

from connectors.kafka.kafka_client import close_consumer


def test_a_consumer_that_does_not_close_is_left_to_itself() -> None:
    over = threading.Event()
    try:
        close_consumer(cast("Any", SimpleNamespace(close=over.wait)), 0.01)
    finally:
        over.set()

"""Says which servers and programs the tests would use and this machine does not have."""

import shutil

from tests.brokers import real_broker_missing
from tests.browser import CHROMIUM
from tests.cassandra_node import cassandra_missing


def missing_servers() -> list[str]:
    """Return a line for each server or program that is missing, with what is run in its place."""
    kafka, cassandra = real_broker_missing(), cassandra_missing()
    programs = {
        "promtool": "rules and queries of Prometheus are only read",
        "kubectl": "overlays of manifests are not rendered",
        "openssl": "no image is fetched over TLS",
    }
    return [
        *([f"Apache Kafka ({kafka}): flows use librdkafka's mock cluster"] if kafka else []),
        *([f"Apache Cassandra ({cassandra}): only the other stores are tested"] if cassandra else []),
        *(["chromium (not on the PATH): pages are read, but not rendered"] if CHROMIUM is None else []),
        *(f"{name} (not on the PATH): {instead}" for name, instead in programs.items() if shutil.which(name) is None),
    ]

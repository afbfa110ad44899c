"""Addresses: what each kind knows as its own, and what is refused with all that is known."""

import subprocess
import sys
from pathlib import Path

import pytest

from connectors.endpoint import Endpoint, SinkOptions, SourceOptions
from connectors.endpoints import (
    ANSWERS_TO,
    DEAD_LETTERS_TO,
    EVENTS_TO,
    KINDS,
    POSTS_FROM,
    POSTS_TO,
    QUERIES_FROM,
    RECORDS_TO,
    SERVICES,
    AddressRole,
    endpoint,
)
from connectors.folder import Folder
from connectors.kafka.kafka_endpoint import KafkaEndpoint
from connectors.lines_file import LinesFile, RowsFile
from connectors.services.reddit import Reddit
from connectors.sinks.cluster_events import CLUSTERS
from core.errors import SettingsError, WorldError
from dataflows.all_settings import Settings
from memewax.commands import ingest_command, run, serve
from tests.folders import ROOT

ROLES = (ANSWERS_TO, DEAD_LETTERS_TO, EVENTS_TO, POSTS_FROM, POSTS_TO, QUERIES_FROM, RECORDS_TO)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("posts.jsonl", LinesFile),
        ("a/b.ndjson", LinesFile),
        ("posts.json", LinesFile),
        ("a/POSTS.CSV", RowsFile),
        ("posts.jsonl.gz", RowsFile),
        ("RS_2024-01.zst", RowsFile),
        ("./store", Folder),
        ("../other", Folder),
        (".", Folder),
        ("store.v2/", Folder),
        ("kafka://a:9092/t", KafkaEndpoint),
        ("reddit:memes+dankmemes", Reddit),
    ],
)
def test_an_address_is_of_one_kind(address: str, kind: type[Endpoint[object]]) -> None:
    found = endpoint(address, POSTS_FROM)
    assert type(found) is kind
    assert found.address == address
    assert [type(it) for each in KINDS if (it := each.of(address)) is not None] == [kind]


def test_brokers_may_be_several() -> None:
    found = endpoint("kafka://a:9092,b:9092/t", RECORDS_TO)
    assert isinstance(found, KafkaEndpoint)
    assert (found.brokers, found.topic) == ("a:9092,b:9092", "t")


def test_each_name_of_a_service_counts_once() -> None:
    found = endpoint("reddit:memes+ cats++memes", POSTS_FROM)
    assert isinstance(found, Reddit)
    assert found.names == ("memes", "cats")


@pytest.mark.parametrize(
    "address",
    ["ftp://bucket/out", "postgresql://host/db", "kafak://h:1/t", "out.doc", "-", "ftp://b/x.jsonl", "sqlite:x", " "],
)
@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.purpose)
def test_what_nobody_knows_is_refused_with_what_is_known(address: str, role: AddressRole) -> None:
    with pytest.raises(SettingsError) as caught:
        endpoint(address, role)
    assert caught.value.exit_code == 2
    assert f"{address!r} cannot be used here: {role.purpose} {role.forms()}" in str(caught.value)
    assert repr(address) in str(caught.value)


@pytest.mark.parametrize("address", ["kafka:/h/x", "kafka://", "kafka://h:1", "kafka:///t", "kafka://h:1/a/b"])
@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.purpose)
def test_half_a_topic_is_refused(address: str, role: AddressRole) -> None:
    with pytest.raises(SettingsError, match="is not kafka://HOST:PORT/TOPIC"):
        endpoint(address, role)


@pytest.mark.parametrize(
    ("role", "address"),
    [
        (RECORDS_TO, "reddit:memes"),
        (DEAD_LETTERS_TO, "./store"),
        (POSTS_TO, "./store"),
        (EVENTS_TO, "./store"),
        (ANSWERS_TO, "./store"),
        (QUERIES_FROM, "./store"),
        (QUERIES_FROM, "imgur:hot"),
    ],
    ids=lambda it: it if isinstance(it, str) else it.purpose,
)
def test_a_kind_that_cannot_do_it_is_refused(role: AddressRole, address: str) -> None:
    with pytest.raises(SettingsError, match=role.purpose):
        endpoint(address, role)


def test_a_new_folder_with_an_ending_is_written_with_a_slash() -> None:
    with pytest.raises(SettingsError, match=r"for a new folder with an extension in its name write 'store\.v2/'"):
        endpoint("store.v2", RECORDS_TO)
    with pytest.raises(SettingsError) as caught:
        endpoint("store.v2", DEAD_LETTERS_TO)
    assert "folder" not in str(caught.value)


@pytest.mark.parametrize("name", ["store.v2", "out.csv", "out.jsonl", "with:colon"])
def test_a_folder_that_is_there_is_a_store_whatever_its_name(name: str, here: Path) -> None:
    (here / name).mkdir()
    assert isinstance(endpoint(name, RECORDS_TO), Folder)


def test_a_folder_that_was_made_of_an_address_by_mistake_is_none(here: Path) -> None:
    (here / "s3:" / "bucket").mkdir(parents=True)
    with pytest.raises(SettingsError):
        endpoint("s3://bucket", RECORDS_TO)


@pytest.mark.parametrize("name", ["posts.txt", "posts"])
def test_a_file_of_another_ending_is_refused(name: str, here: Path) -> None:
    (here / name).touch()
    with pytest.raises(SettingsError, match="posts come from"):
        endpoint(name, POSTS_FROM)


def test_commas_separate_nothing_and_the_error_says_what_does() -> None:
    with pytest.raises(
        SettingsError, match="never split at commas: repeat the option for several, or give a JSON list"
    ):
        endpoint("./store,kafka://h:1/t", RECORDS_TO)


def test_a_path_that_cannot_be_is_told() -> None:
    with pytest.raises(WorldError, match="File name too long"):
        endpoint("x" * 300, RECORDS_TO)


def test_no_address_says_where_to_name_one() -> None:
    with pytest.raises(SettingsError, match=r"^MEMEWAX_SOURCE \(or --from\) is not set: posts come from a folder"):
        endpoint("", POSTS_FROM)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_can_do_something_and_says_what(kind: type[Endpoint[object]]) -> None:
    assert kind.__doc__
    assert kind.reads or kind.takes_messages or kind.takes_rows


def test_what_a_kind_cannot_do_is_an_error_of_settings() -> None:
    settings = Settings()
    with pytest.raises(SettingsError, match="takes no rows"):
        endpoint("a.jsonl", RECORDS_TO).table_sink(CLUSTERS, SinkOptions("x"), settings)
    with pytest.raises(SettingsError, match="takes no messages"):
        endpoint("./store", RECORDS_TO).message_sink(SinkOptions("x"), settings)


def test_help_names_all_that_is_registered() -> None:
    texts = (run._FROM, run._TO, run._DEAD, ingest_command._TO, ingest_command._NAMES, serve.QUERIES_FROM.help)
    assert all("kafka://HOST:PORT/TOPIC" in text for text in texts if text is not ingest_command._NAMES)
    for name, kind in SERVICES.items():
        assert f"{name}:{kind.naming}" in run._FROM
        assert f"{name}: " in ingest_command._NAMES
        assert name in [it.value for it in ingest_command.ServiceName]


def test_who_waits_for_answers_is_not_kept_waiting() -> None:
    settings = Settings(kafka={"linger.ms": "5"}, kafka_timeout_seconds=1)
    topic = endpoint("kafka://h:1/t", ANSWERS_TO)
    sinks = [topic.message_sink(SinkOptions("x", prompt=prompt), Settings()) for prompt in (False, True)]
    assert [sink._config["linger.ms"] for sink in sinks] == [5, "0"]  # type: ignore[attr-defined]
    chosen = topic.message_sink(SinkOptions("x", prompt=True), settings)
    assert chosen._config["linger.ms"] == "5"  # type: ignore[attr-defined]
    source = topic.source(SourceOptions(1, prompt=True), settings)
    assert source._config["linger.ms"] == "5"  # type: ignore[attr-defined]


def test_no_sink_needs_the_engine() -> None:
    modules = (
        "sinks.jsonl_sink",
        "sinks.table_writer",
        "kafka.kafka_sink",
        "store.stored_table",
        "sinks.cluster_events",
    )
    code = f"import {', '.join(f'connectors.{it}' for it in modules)}, sys; print('bytewax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"


def test_drivers_are_imported_only_where_they_are_needed() -> None:
    heavy = ("bytewax", "confluent_kafka", "lancedb", "pyarrow")
    code = f"import connectors.chosen_endpoints, sys; print(sorted(set(sys.modules) & set({heavy!r})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"

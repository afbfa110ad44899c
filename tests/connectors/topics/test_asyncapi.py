"""The declared list, the schemas of its bodies, and the AsyncAPI document made of both."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator, Draft202012Validator

from connectors.topics.asyncapi import asyncapi_document, yaml_of
from connectors.topics.bodies import names, schema
from connectors.topics.declared import NAMES, TAPS, TOPICS, Topic, chosen
from core.errors import SettingsError
from tests.folders import ROOT

DOCUMENT = ROOT / "docs" / "asyncapi.yaml"
SEED = {
    "nifi2vit", "nifi2ocr", "nifi2analytics", "vit2cluster", "vit2analytics", "cluster2analytics", "ocr2ner",
    "ocr2sentiment", "ocr2analytics", "ner2analytics", "sentiment2analytics",
}  # fmt: skip


def topic(**fields: Any) -> Topic:
    return Topic(**{"name": "t", "what": "", "body": "post", "role": "in", "partitions": 1, "retention": timedelta(1), **fields})  # fmt: skip


# The list


def test_no_topic_is_declared_twice() -> None:
    declared = [topic.name for topic in TOPICS]
    assert sorted(declared) == sorted(set(declared))


def test_the_taps_are_the_first_version_s_eleven() -> None:
    assert {topic.name for topic in TAPS} == SEED
    assert {topic.role for topic in TAPS} == {"tap"}


def test_a_topic_says_in_kafka_s_words_how_it_is_kept() -> None:
    kept = topic(retention=timedelta(days=2), compacted=True, replication=3).config
    assert kept == {"cleanup.policy": "compact,delete", "retention.ms": "172800000", "min.insync.replicas": "2"}
    assert topic(replication=1).config["cleanup.policy"] == "delete"
    assert topic(replication=1).config["min.insync.replicas"] == "1"


def test_what_is_compacted_is_keyed_by_the_id() -> None:
    assert {topic.key for topic in TOPICS if topic.compacted} == {"global_id", "cluster"}


def test_topics_are_chosen_by_name_and_given_another_size() -> None:
    (posts,) = chosen(["posts"], partitions=3, replication=2)
    assert (posts.name, posts.partitions, posts.replication) == ("posts", 3, 2)
    assert [topic.name for topic in chosen()] == [
        "posts",
        "analytics",
        "clusters",
        "dead-letters",
        "queries",
        "answers",
    ]
    assert chosen(NAMES) == list(TOPICS)


def test_a_name_that_is_not_in_the_list_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"psots: expected one of posts"):
        chosen(["psots", "posts"])


# Schemas


@pytest.mark.parametrize("name", names())
def test_a_schema_is_a_schema(name: str) -> None:
    Draft202012Validator.check_schema(schema(name))
    assert schema(name)["$schema"] == Draft202012Validator.META_SCHEMA["$id"]


@pytest.mark.parametrize("name", names())
def test_a_schema_means_the_same_to_asyncapi(name: str) -> None:
    """AsyncAPI builds on draft 7: its tools would pass over what came later."""
    Draft7Validator.check_schema(schema(name))
    later = {"$defs", "$anchor", "$dynamicRef", "prefixItems", "unevaluatedItems", "unevaluatedProperties"}
    later |= {"dependentRequired", "dependentSchemas", "minContains", "maxContains"}
    assert not later & set(keywords(schema(name)))


def keywords(of: dict[str, Any]) -> Iterator[str]:
    yield from of
    inner = [of.get("items"), of.get("contentSchema"), of.get("additionalProperties"), *of.get("properties", {}).values()]  # fmt: skip
    for each in inner:
        if isinstance(each, dict):
            yield from keywords(each)


def test_every_body_has_its_schema() -> None:
    assert {topic.body for topic in TOPICS} <= set(names())


# The document


def test_the_published_document_is_the_list() -> None:
    assert DOCUMENT.read_text() == yaml_of(asyncapi_document()), "run: memewax topics asyncapi > docs/asyncapi.yaml"


def test_what_is_printed_is_read_as_what_was_meant() -> None:
    assert yaml.safe_load(yaml_of(asyncapi_document())) == asyncapi_document()


def test_the_document_has_every_topic_as_it_is_declared() -> None:
    channels = asyncapi_document()["channels"]
    assert channels.keys() == {topic.name for topic in TOPICS}
    for topic in TOPICS:
        kafka = channels[topic.name]["bindings"]["kafka"]
        assert (kafka["partitions"], kafka["replicas"]) == (topic.partitions, topic.replication)
        assert kafka["topicConfiguration"]["retention.ms"] == topic.retention / timedelta(milliseconds=1)


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_every_reference_of_the_document_leads_somewhere() -> None:
    document = asyncapi_document()
    found = list(references(document))
    assert found
    for reference in found:
        place: Any = document
        for name in reference.removeprefix("#/").split("/"):
            place = place[name]

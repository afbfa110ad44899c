"""The NiFi flow: well-formed, without secrets, and what its steps make of the services' answers is a post."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import orjson
import pytest

from connectors.sources.parse import parse_post
from tests.factories import message
from tests.folders import ROOT
from tests.nifi_steps import Played, play

DEFINITION: Final = orjson.loads((ROOT / "nifi/posts-to-kafka.json").read_bytes())
GROUP: Final = DEFINITION["flowContents"]
PROCESSORS: Final = {it["identifier"]: it for it in GROUP["processors"]}
SERVICES: Final = {it["identifier"]: it for it in GROUP["controllerServices"]}
CONTEXT: Final = DEFINITION["parameterContexts"][GROUP["parameterContextName"]]
PARAMETERS: Final = {it["name"]: it for it in CONTEXT["parameters"]}
COMPONENTS: Final = [*GROUP["processors"], *GROUP["controllerServices"]]
REFERENCE: Final = re.compile(r"#\{([^}]*)\}")

_STANDARD: Final = "org.apache.nifi.processors.standard."
_HTTP: Final = {"Original", "Response", "Retry", "No Retry", "Failure"}
KNOWN: Final[dict[str, tuple[set[str], set[str]]]] = {
    f"{_STANDARD}InvokeHTTP": ({"HTTP Method", "HTTP URL"}, _HTTP),
    f"{_STANDARD}SplitJson": ({"JsonPath Expression"}, {"original", "split", "failure"}),
    f"{_STANDARD}EvaluateJsonPath": ({"Destination", "Return Type"}, {"matched", "unmatched", "failure"}),
    f"{_STANDARD}RouteOnAttribute": ({"Routing Strategy"}, {"unmatched"}),
    f"{_STANDARD}DetectDuplicate": (
        {"Cache Entry Identifier", "FlowFile Description", "Distributed Cache Service"},
        {"duplicate", "non-duplicate", "failure"},
    ),
    f"{_STANDARD}ReplaceText": ({"Replacement Strategy", "Replacement Value"}, {"success", "failure"}),
    "org.apache.nifi.processors.attributes.UpdateAttribute": (set(), {"success"}),
    "org.apache.nifi.kafka.processors.PublishKafka": (
        {"Kafka Connection Service", "Topic Name"},
        {"success", "failure"},
    ),
}
"""Of each type of processor: properties that it needs, and its relationships; as NiFi's own sources say."""
SERVICES_NEED: Final[dict[str, set[str]]] = {
    "org.apache.nifi.kafka.service.Kafka3ConnectionService": {"bootstrap.servers"},
    "org.apache.nifi.oauth2.StandardOauth2AccessTokenProvider": {
        "authorization-server-url", "grant-type", "client-id", "client-secret",
    },
    "org.apache.nifi.distributed.cache.server.map.MapCacheServer": {"Port", "Maximum Cache Entries"},
    "org.apache.nifi.distributed.cache.client.MapCacheClientService": {"Server Hostname", "Server Port"},
}  # fmt: skip


def by_name(component: dict[str, Any]) -> str:
    return str(component["name"])


def relationships(processor: dict[str, Any]) -> set[str]:
    """Of its type, and those that a router is given."""
    own = KNOWN[processor["type"]][1]
    if processor["type"].endswith("RouteOnAttribute"):
        return own | {name for name, it in processor["propertyDescriptors"].items() if it["dynamic"]}
    return own


# Well-formed


def test_every_identifier_is_there_once_and_is_a_uuid() -> None:
    found = [it["identifier"] for it in [*COMPONENTS, *GROUP["connections"], GROUP]]
    assert len(found) == len(set(found))
    assert all(re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", it) for it in found)


def test_every_component_belongs_to_the_group_and_has_a_type_and_a_place() -> None:
    for component in [*COMPONENTS, *GROUP["connections"]]:
        assert component["groupIdentifier"] == GROUP["identifier"]
    for component in COMPONENTS:
        assert component["bundle"].keys() == {"group", "artifact", "version"}
    places = [(it["position"]["x"], it["position"]["y"]) for it in GROUP["processors"]]
    assert len(places) == len(set(places))


@pytest.mark.parametrize("connection", GROUP["connections"], ids=lambda it: it["source"]["name"])
def test_a_connection_leads_from_a_relationship_to_a_processor_that_is_there(connection: dict[str, Any]) -> None:
    for end in (connection["source"], connection["destination"]):
        assert end["type"] == "PROCESSOR"
        assert PROCESSORS[end["id"]]["name"] == end["name"]
    assert set(connection["selectedRelationships"]) <= relationships(PROCESSORS[connection["source"]["id"]])


@pytest.mark.parametrize("processor", GROUP["processors"], ids=by_name)
def test_every_relationship_leads_somewhere_or_ends_and_never_both(processor: dict[str, Any]) -> None:
    """NiFi does not start a processor of which one hangs in the air."""
    led = {
        name
        for it in GROUP["connections"]
        if it["source"]["id"] == processor["identifier"]
        for name in it["selectedRelationships"]
    }
    ended = set(processor["autoTerminatedRelationships"])
    assert led | ended == relationships(processor)
    assert not led & ended


def test_all_is_reached_from_the_processors_that_ask() -> None:
    reached = {it["identifier"] for it in GROUP["processors"] if it["type"].endswith("InvokeHTTP")}
    while new := {it["destination"]["id"] for it in GROUP["connections"] if it["source"]["id"] in reached} - reached:
        reached |= new
    assert reached == PROCESSORS.keys()


@pytest.mark.parametrize("processor", GROUP["processors"], ids=by_name)
def test_a_processor_has_the_properties_that_it_needs(processor: dict[str, Any]) -> None:
    needed, _ = KNOWN[processor["type"]]
    assert all(processor["properties"].get(name) for name in needed)
    assert processor["properties"].keys() == processor["propertyDescriptors"].keys()


@pytest.mark.parametrize("service", GROUP["controllerServices"], ids=by_name)
def test_a_service_has_the_properties_that_it_needs(service: dict[str, Any]) -> None:
    assert all(service["properties"].get(name) for name in SERVICES_NEED[service["type"]])
    assert service["properties"].keys() == service["propertyDescriptors"].keys()


def test_services_that_are_named_are_there() -> None:
    named = [
        it["properties"][name]
        for it in COMPONENTS
        for name, about in it["propertyDescriptors"].items()
        if about["identifiesControllerService"]
    ]
    assert named
    assert set(named) <= SERVICES.keys()


# Parameters and secrets


def properties() -> Iterator[tuple[str, str, bool]]:
    """Component and property, value, and whether it is sensitive."""
    for component in COMPONENTS:
        for name, value in component["properties"].items():
            yield f"{component['name']}: {name}", value, component["propertyDescriptors"][name]["sensitive"]


def test_parameters_that_are_used_are_declared_and_those_declared_are_used() -> None:
    used = {name for _, value, _ in properties() for name in REFERENCE.findall(value)}
    assert used == PARAMETERS.keys()
    assert all(it["description"] for it in PARAMETERS.values())


@pytest.mark.parametrize(("where", "value", "sensitive"), list(properties()), ids=lambda it: str(it)[:40])
def test_a_sensitive_property_is_one_sensitive_parameter_and_no_other_is(
    where: str, value: str, sensitive: bool
) -> None:
    """NiFi refuses both a sensitive parameter elsewhere and any text beside it."""
    names = REFERENCE.findall(value)
    if sensitive:
        assert value == f"#{{{names[0]}}}"
    assert all(PARAMETERS[name]["sensitive"] is sensitive for name in names)


def test_there_is_no_secret_in_it() -> None:
    secret = re.compile(r"secret|password|token|authorization|key", re.IGNORECASE)
    for name, parameter in PARAMETERS.items():
        if parameter["sensitive"]:
            assert "value" not in parameter
        else:
            assert not secret.search(name) or parameter["value"].startswith("https://")
    text = (ROOT / "nifi/posts-to-kafka.json").read_text()
    assert not re.search(r"enc\{|Bearer |Basic |Client-ID [0-9a-f]", text)


def test_the_documents_tell_every_parameter() -> None:
    told = (ROOT / "nifi/README.md").read_text()
    assert all(f"`{name}`" in told for name in PARAMETERS)


# Played


NOW: Final = datetime(2023, 12, 11, 9, tzinfo=UTC)


def played(asked: str, answer: Any) -> list[Played]:
    return list(play(GROUP, asked, orjson.dumps(answer), NOW))


def child(**fields: Any) -> dict[str, Any]:
    image = {"id": "18fr14v", "author": "someone", "title": "a caption", "score": 17, "created_utc": 1702281600.0}
    return {"kind": "t3", "data": {**image, "url": "https://i.redd.it/x.png", "post_hint": "image", **fields}}


def listing(*children: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "Listing", "data": {"after": "t3_x", "children": list(children)}}


def test_an_image_on_reddit_becomes_a_post_of_the_first_version() -> None:
    (out,) = played("Ask Reddit", listing(child()))
    assert (out.topic, out.key) == ("#{kafka.topic}", "18fr14v-reddit")
    assert orjson.loads(out.value) == {
        "global_id": "18fr14v-reddit",
        "author": "someone",
        "created_time": "2023-12-11 08:00:00",
        "desc": "a caption",
        "score": 17,
        "url": "https://i.redd.it/x.png",
        "source": "reddit",
        "ingestion_time": 1702285200000,
    }
    post = parse_post(message(out.value))
    assert (post.global_id, post.score, post.ingestion_time) == ("18fr14v-reddit", 17, NOW)


def test_what_is_no_image_on_reddit_is_left_out() -> None:
    others = [child(post_hint="hosted:video"), child(post_hint=None), child(is_gallery=True, post_hint="link")]
    del others[1]["data"]["post_hint"]
    assert played("Ask Reddit", listing(*others)) == []


@pytest.mark.parametrize(
    "title", ['quotes " and \\ back', "two\nlines\ttab", "emoji \U0001f600", "$1 ${id} #{x} \x01", ""]
)
def test_a_caption_may_hold_anything(title: str) -> None:
    (out,) = played("Ask Reddit", listing(child(title=title)))
    assert parse_post(message(out.value)).description == title


def test_a_post_without_author_or_score_is_still_a_post() -> None:
    bare = child(author=None, score=None)
    (out,) = played("Ask Reddit", listing(bare))
    post = parse_post(message(out.value))
    assert (post.author, post.score) == ("", 0)


def test_a_post_seen_before_is_not_published_again() -> None:
    outs = played("Ask Reddit", listing(child(), child(id="2"), child()))
    assert [out.key for out in outs] == ["18fr14v-reddit", "2-reddit"]


def image(**fields: Any) -> dict[str, Any]:
    return {
        "id": "UfDit3n",
        "link": "https://i.imgur.com/UfDit3n.jpg",
        "type": "image/jpeg",
        "animated": False,
        **fields,
    }


def test_an_image_and_an_album_on_imgur_become_a_post_for_each_image() -> None:
    common = {"account_url": "someone", "title": "a caption", "score": -4, "datetime": 1702281600}
    single = {**common, **image(), "is_album": False}
    moving = image(id="m", type="video/mp4", animated=True)
    album = {**common, "id": "album", "is_album": True, "images": [image(id="a"), moving, image(id="b")]}
    outs = played("Ask Imgur", {"data": [single, album, {**single, **moving}], "success": True, "status": 200})
    posts = [parse_post(message(out.value)) for out in outs]
    assert [post.global_id for post in posts] == ["UfDit3n-imgur", "a-imgur", "b-imgur"]
    assert {(it.author, it.description, it.score, it.created_time, it.source) for it in posts} == {
        ("someone", "a caption", -4, "2023-12-11 08:00:00", "imgur")
    }
    assert posts[1].url == "https://i.imgur.com/UfDit3n.jpg"

"""The declared topics as an AsyncAPI 3.0 document: use, JSON Schema and Kafka configuration of each."""

from typing import Any, Final

import yaml

from connectors.topics.bodies import schema
from connectors.topics.declared import TOPICS, Topic
from core import __version__

_BINDING: Final = "0.5.0"
"""Version of AsyncAPI's Kafka bindings."""
_HEADERS: Final = {"dead-letter": "dead-letter-headers"}
_FOREIGN: Final = {"dead-letter": "application/octet-stream"}
"""Content types of bodies that are not JSON."""
_ACTIONS: Final = {"in": "receive", "out": "send", "tap": "send"}


def asyncapi_document() -> dict[str, Any]:
    """Return the document as plain values."""
    bodies = sorted({topic.body for topic in TOPICS})
    names = sorted({*bodies, *(_HEADERS[body] for body in bodies if body in _HEADERS)})
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "memewax",
            "version": __version__,
            "description": (
                "Posts with an image come in; one joined, analysed record per post comes out. Topics whose tag is "
                "`tap` are written only if a setting names them. Delivery is at least once."
            ),
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {"kafka": {"host": "localhost:9092", "protocol": "kafka", "description": "Any Kafka cluster"}},
        "channels": {topic.name: _channel(topic) for topic in TOPICS},
        "operations": {f"{_ACTIONS[topic.role]}-{topic.name}": _operation(topic) for topic in TOPICS},
        "components": {
            "messages": {body: _message(body) for body in bodies},
            "schemas": {name: _schema(name) for name in names},
        },
    }


def yaml_of(document: dict[str, Any]) -> str:
    """Dump a document as YAML, its keys in order."""
    text: str = yaml.dump(document, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=120)
    return text


class _Plain(yaml.SafeDumper):
    """YAML dumper without anchors and aliases, which do not help readers."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def _channel(topic: Topic) -> dict[str, Any]:
    config = topic.config
    return {
        "address": topic.name,
        "description": f"{topic.what}. Keyed by {topic.key}.",
        "tags": [{"name": topic.role}],
        "messages": {topic.body: {"$ref": f"#/components/messages/{topic.body}"}},
        "bindings": {
            "kafka": {
                "partitions": topic.partitions,
                "replicas": topic.replication,
                "topicConfiguration": {
                    "cleanup.policy": config["cleanup.policy"].split(","),
                    "retention.ms": int(config["retention.ms"]),
                },
                "bindingVersion": _BINDING,
            }
        },
    }


def _operation(topic: Topic) -> dict[str, Any]:
    return {
        "action": _ACTIONS[topic.role],
        "channel": {"$ref": f"#/channels/{topic.name}"},
        "messages": [{"$ref": f"#/channels/{topic.name}/messages/{topic.body}"}],
    }


def _message(body: str) -> dict[str, Any]:
    described = schema(body)
    message = {
        "title": described["title"],
        "contentType": _FOREIGN.get(body, "application/json"),
        "payload": {"$ref": f"#/components/schemas/{body}"},
        "bindings": {"kafka": {"key": {"type": "string"}, "bindingVersion": _BINDING}},
    }
    if body in _HEADERS:
        message["headers"] = {"$ref": f"#/components/schemas/{_HEADERS[body]}"}
    return message


def _schema(name: str) -> dict[str, Any]:
    """Return a schema without its draft and id, which the AsyncAPI document defines."""
    return {key: value for key, value in schema(name).items() if key not in {"$schema", "$id"}}

"""JSON Schemas (draft 2020-12) of message bodies: a record's is derived from its table, the others are in `schemas`.

They use only keywords with the same meaning in draft 7, since AsyncAPI's own schemas build on that draft and its tools
refuse others. `contentSchema`, which draft 7 ignores, describes JSON inside a string.
"""

from functools import cache
from importlib.resources import files
from typing import Any, Final

import orjson

from connectors.sinks.record_table import record_table
from connectors.topics.json_schema import json_schema

_RECORD: Final = "record"


@cache
def schema(name: str) -> dict[str, Any]:
    """Return the schema of a name; it is cached and must not be changed."""
    if name == _RECORD:
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": "urn:memewax:record",
            "title": "Joined record",
            "description": "All results for a post. A record with the same id replaces the earlier one.",
            **json_schema(record_table({})),
        }
    content: dict[str, Any] = orjson.loads(files("connectors.topics").joinpath("schemas", f"{name}.json").read_bytes())
    return content


def names() -> list[str]:
    """Return the names of all schemas."""
    listed = files("connectors.topics").joinpath("schemas").iterdir()
    return sorted([_RECORD, *(path.name.removesuffix(".json") for path in listed if path.name.endswith(".json"))])

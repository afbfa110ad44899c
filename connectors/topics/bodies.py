"""JSON Schemas (draft 2020-12) of what is in messages: a record's from its table, the others a file each in `schemas`.

They keep to what JSON Schema's draft 7 understands as well, in the same sense: AsyncAPI's own schemas build on that
draft, and its tools refuse others. `contentSchema`, which draft 7 ignores, says what is in JSON inside a string.
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
    """The schema of this name, not to be changed."""
    if name == _RECORD:
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": "urn:memewax:record",
            "title": "Joined record",
            "description": "All that is known of a post. A record with an id seen before replaces the earlier one.",
            **json_schema(record_table({})),
        }
    content: dict[str, Any] = orjson.loads(files("connectors.topics").joinpath("schemas", f"{name}.json").read_bytes())
    return content


def names() -> list[str]:
    """Of all schemas."""
    listed = files("connectors.topics").joinpath("schemas").iterdir()
    return sorted([_RECORD, *(path.name.removesuffix(".json") for path in listed if path.name.endswith(".json"))])

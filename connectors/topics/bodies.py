"""JSON Schemas (draft 2020-12) of what is in messages, a file each in `schemas`.

They keep to what JSON Schema's draft 7 understands as well, in the same sense: AsyncAPI's own schemas build on that
draft, and its tools refuse others. `contentSchema`, which draft 7 ignores, says what is in JSON inside a string.
"""

from functools import cache
from importlib.resources import files
from typing import Any

import orjson


@cache
def schema(name: str) -> dict[str, Any]:
    """The schema of this name, not to be changed."""
    content: dict[str, Any] = orjson.loads(files("connectors.topics").joinpath("schemas", f"{name}.json").read_bytes())
    return content


def names() -> list[str]:
    """Of all schemas."""
    return sorted(
        path.name.removesuffix(".json")
        for path in files("connectors.topics").joinpath("schemas").iterdir()
        if path.name.endswith(".json")
    )

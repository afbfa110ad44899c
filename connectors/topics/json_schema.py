"""JSON Schemas of tables."""

from collections.abc import Mapping
from typing import Any

from core.columns import Column, Flag, Integer, ListOf, Number, Struct, Table, Text, Type, VectorOf


def json_schema(table: Table) -> dict[str, Any]:
    """Return the JSON Schema of a row of `table`, an object with every column."""
    return {
        "type": "object",
        "required": [column.name for column in table.columns],
        "properties": {column.name: _column(column) for column in table.columns},
    }


def _column(column: Column) -> dict[str, Any]:
    made = _merged(_type(column.type), column.schema)
    if column.nullable and "type" in made:
        made["type"] = [made["type"], "null"]
    return {**made, "description": column.meaning}


def _type(type_: Type) -> dict[str, Any]:
    schema: dict[str, Any] = {}  # any JSON
    match type_:
        case Text():
            schema = {"type": "string"}
        case Integer():
            schema = {"type": "integer"}
        case Number():
            schema = {"type": "number"}
        case Flag():
            schema = {"type": "boolean"}
        case VectorOf():
            schema = {"type": "array", "items": {"type": "number"}}
        case ListOf(item):
            schema = {"type": "array", "items": _type(item)}
        case Struct(fields):
            properties = {name: _type(field) for name, field in fields.items()}
            schema = {"type": "object", "required": list(fields), "properties": properties}
    return schema


def _merged(schema: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Merge the keywords of `more` into `schema` recursively; a value of None removes the keyword."""
    made = dict(schema)
    for keyword, value in more.items():
        if value is None:
            made.pop(keyword, None)
        elif isinstance(value, Mapping) and isinstance(made.get(keyword), Mapping):
            made[keyword] = _merged(made[keyword], value)
        else:
            made[keyword] = value
    return made

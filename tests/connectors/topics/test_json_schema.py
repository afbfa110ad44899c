"""A table in the words of JSON Schema."""

from connectors.topics.json_schema import json_schema
from core.columns import AnyJson, Column, Integer, ListOf, Number, Struct, Table, Text, VectorOf

NAMED = Struct({"name": Text(), "share": Number()})


def schema_of(column: Column) -> object:
    return json_schema(Table("t", "key", (column,)))["properties"][column.name]


def test_a_row_has_every_column() -> None:
    made = json_schema(Table("t", "a", (Column("a", Text(), "A"), Column("b", Integer(), "B"))))
    assert (made["type"], made["required"]) == ("object", ["a", "b"])


def test_each_type_has_its_own() -> None:
    types = (Text(), Integer(32), Number(), VectorOf(2), ListOf(NAMED), AnyJson())
    assert [schema_of(Column("a", it, "A", nullable=False)) for it in types] == [
        {"type": "string", "description": "A"},
        {"type": "integer", "description": "A"},
        {"type": "number", "description": "A"},
        {"type": "array", "items": {"type": "number"}, "description": "A"},
        {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "share"],
                "properties": {"name": {"type": "string"}, "share": {"type": "number"}},
            },
            "description": "A",
        },
        {"description": "A"},
    ]


def test_what_may_be_null_says_so() -> None:
    assert schema_of(Column("a", Text(), "A")) == {"type": ["string", "null"], "description": "A"}


def test_further_keywords_are_added_at_every_depth_and_none_takes_one_away() -> None:
    more = {"required": None, "properties": {"share": {"minimum": 0}}}
    assert schema_of(Column("a", NAMED, "A", nullable=False, schema=more)) == {
        "type": "object",
        "properties": {"name": {"type": "string"}, "share": {"type": "number", "minimum": 0}},
        "description": "A",
    }

"""Columns of a table in the words of Arrow, which a store of LanceDB speaks."""

import pyarrow as pa

from core.columns import AnyJson, Integer, ListOf, Number, Struct, Table, Text, Type, VectorOf


def arrow_schema(table: Table) -> pa.Schema:
    """The columns of `table`; vectors are float32 of a fixed length, and JSON of any kind is text."""
    return pa.schema([pa.field(column.name, _arrow(column.type)) for column in table.columns])


def _arrow(type_: Type) -> pa.DataType:
    match type_:
        case Text() | AnyJson():
            return pa.string()
        case Integer(bits):
            return pa.int32() if bits <= 32 else pa.int64()
        case Number():
            return pa.float64()
        case VectorOf(dimension):
            return pa.list_(pa.float32(), dimension)
        case ListOf(item):
            return pa.list_(_arrow(item))
        case Struct(fields):
            return pa.struct({name: _arrow(field) for name, field in fields.items()})

"""Columns of a table in the words of Arrow, which a store of LanceDB speaks."""

from typing import Final

import pyarrow as pa

from core.columns import AnyJson, Binary, Flag, Integer, ListOf, Number, Struct, Table, Text, Type, VectorOf

_OWN: Final = {b"memewax": b"own"}
"""Metadata of a column that a user added."""


def arrow_schema(table: Table) -> pa.Schema:
    """The columns of `table`; vectors are float32 of a fixed length, and JSON of any kind is text."""
    return pa.schema(
        [
            pa.field(column.name, _arrow(column.type), metadata=_OWN if column.is_custom else None)
            for column in table.columns
        ]
    )


def is_custom(field: pa.Field) -> bool:
    """Whether a user added a column of a table that is there."""
    return bool(field.metadata) and _OWN.items() <= field.metadata.items()


def with_custom(found: pa.Schema, wanted: pa.Schema) -> pa.Schema:
    """The columns that are wanted, and the own ones of a table that is there, as they are there."""
    kept = {field.name: field for field in found if is_custom(field)}
    return pa.schema(
        [*(kept.pop(field.name, field) if is_custom(field) else field for field in wanted), *kept.values()]
    )


_PLAIN: Final = {Text: pa.string(), AnyJson: pa.string(), Number: pa.float64(), Flag: pa.bool_(), Binary: pa.binary()}


def _arrow(type_: Type) -> pa.DataType:
    match type_:
        case Integer(bits):
            return pa.int32() if bits <= 32 else pa.int64()
        case VectorOf(dimension):
            return pa.list_(pa.float32(), dimension)
        case ListOf(item):
            return pa.list_(_arrow(item))
        case Struct(fields):
            return pa.struct({name: _arrow(field) for name, field in fields.items()})
        case _:
            return _PLAIN[type(type_)]

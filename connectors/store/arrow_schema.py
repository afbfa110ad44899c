"""Conversion of declared tables to Arrow schemas, for LanceDB."""

from typing import Final

import pyarrow as pa

from core.columns import AnyJson, Binary, Flag, Integer, ListOf, Number, Struct, Table, Text, Type, VectorOf

_CUSTOM: Final = {b"memewax": b"own"}
"""Metadata of a custom column, which a user added."""


def arrow_schema(table: Table) -> pa.Schema:
    """Return the Arrow schema of a table: vectors are fixed-size lists of float32, and JSON values are strings."""
    return pa.schema(
        [
            pa.field(column.name, _arrow(column.type), metadata=_CUSTOM if column.is_custom else None)
            for column in table.columns
        ]
    )


def is_custom(field: pa.Field) -> bool:
    """Check whether a column of an existing table is a custom one, which a user added."""
    return bool(field.metadata) and _CUSTOM.items() <= field.metadata.items()


def with_custom(found: pa.Schema, wanted: pa.Schema) -> pa.Schema:
    """Return the wanted columns plus the custom columns of an existing table, whose types are kept."""
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

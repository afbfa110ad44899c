"""Schema migration of a table of an older version: added columns and struct fields are null."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from core.errors import WorldError

_BATCH = 1024
"""Rows per batch of a copy."""


def check_widenable(where: str, found: pa.Schema, wanted: pa.Schema) -> None:
    """Raise `WorldError` if a table has unknown columns or columns of other types; their order does not matter."""
    unknown = [name for name in found.names if name not in wanted.names]
    if unknown:
        raise WorldError(f"{where} of other columns, {', '.join(unknown)}: choose another folder")
    for field in found:
        type_ = wanted.field(field.name).type
        are_vectors = pa.types.is_fixed_size_list(field.type) and pa.types.is_fixed_size_list(type_)
        if are_vectors and field.type.list_size != type_.list_size:
            raise WorldError(
                f"{where} with {field.name} of {field.type.list_size} numbers and the model makes "
                f"{type_.list_size}: choose the model it was made with, or another folder"
            )
        if not _is_widenable(field.type, type_):
            raise WorldError(
                f"{where} whose column {field.name} is {field.type} and should be {type_}: choose another folder"
            )


def needs_copy(found: pa.Schema, wanted: pa.Schema) -> bool:
    """Check whether a struct gained fields: LanceDB adds columns in place, but not struct fields."""
    return any(field.type != wanted.field(field.name).type for field in found)


def copied(table: Any, wanted: pa.Schema) -> pa.RecordBatchReader:
    """Return a reader of all rows of a LanceDB table, converted to the schema `wanted`, in bounded memory."""

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in table.search().to_batches(batch_size=_BATCH):
            yield pa.record_batch([_column(batch, field) for field in wanted], schema=wanted)

    return pa.RecordBatchReader.from_batches(wanted, batches())


def _is_widenable(found: pa.DataType, wanted: pa.DataType) -> bool:
    if pa.types.is_struct(found) and pa.types.is_struct(wanted):
        names = {field.name for field in wanted}
        return all(it.name in names and _is_widenable(it.type, wanted.field(it.name).type) for it in found)
    if pa.types.is_list(found) and pa.types.is_list(wanted):
        return _is_widenable(found.value_type, wanted.value_type)
    return bool(found.equals(wanted))


def _column(batch: pa.RecordBatch, field: pa.Field) -> pa.Array:
    if field.name not in batch.schema.names:
        return pa.nulls(len(batch), field.type)
    column = batch.column(field.name)
    # Convert through Python values, which match fields by name at any depth; slow, but a table is copied once.
    return column if column.type == field.type else pa.array(column.to_pylist(), field.type)

"""docs/record.md: the columns of a record as a table; `python -m connectors.topics.record_document` prints it."""

import sys

from connectors.sinks.record_table import CURRENT_COLUMN, stored_posts
from core.columns import AnyJson, Column, Integer, ListOf, Number, Struct, Text, Type, VectorOf
from models.stages import STAGES

_HEAD = """# A record

Written by `python -m connectors.topics.record_document > docs/record.md` from the table of stages
([models/stages.py](../models/stages.py)) and the columns that belong to no stage
([connectors/sinks/record_table.py](../connectors/sinks/record_table.py)): change those, not this.

The record of a post is a row of a store's table `posts`, a line of a file, or a message. Every row has every column;
where a stage has no answer its columns are null, and `failures` or `missing` says why.

`current_cluster` is a column of the store alone: the flow changes it there when clusters are merged or split. A line or
a message is not written again for that, so what it said would be wrong at the next merge: whoever reads these follows
the cluster events ([clusters.md](clusters.md)).

| column | type | of | meaning |
|---|---|---|---|
"""
_TAIL = """
In a store, vectors are float32 of a fixed length, `timings` and `models` are structs with a field for each stage, and
`extra` is JSON as text. The JSON Schema of a record is in [asyncapi.yaml](asyncapi.yaml).

A store of an older shape is widened when it is opened: columns, and fields of structs, that were added are null in the
rows that are there. `current_cluster` is filled from `cluster` and the table `clusters`. Where a type changed, it is
refused before anything is read.

## A new stage

1. a module below `models/` with the model, its fake, its settings (a `Group`) and what loads it;
2. a `Stage` in [models/stages.py](../models/stages.py): its name, its columns and how a value becomes them, its model;
   and its settings as a base of `StageSettings`;
3. its step, and its place in the diagram, in [dataflows/memes.py](../dataflows/memes.py);
4. a test of what is its own: the suite over every model, the rows, the schemas and the stores take it from the table;
5. these documents, regenerated: `python -m connectors.topics.record_document > docs/record.md` and
   `memewax topics asyncapi > docs/asyncapi.yaml`.

Where it can be measured, `evaluation` names the module `memewax/evaluation/measure_<evaluation>.py`, whose `command`
becomes a command of `memewax eval`; where it cannot, `why_unmeasured` says why.
"""


def record_document() -> str:
    """The document, whole."""
    stages = {it.column.name: stage.name for stage in STAGES for it in stage.columns} | {CURRENT_COLUMN.name: "cluster"}
    rows = (_row(column, stages.get(column.name, "")) for column in stored_posts({}).columns)
    return _HEAD + "".join(rows) + _TAIL


def _row(column: Column, stage: str) -> str:
    null = ", or null" if column.nullable else ""
    return f"| `{column.name}` | {_spoken(column.type)}{null} | {stage} | {column.meaning} |\n"


def _spoken(type_: Type) -> str:
    match type_:
        case ListOf(item):
            spoken = f"list of {_spoken(item)}"
        case Struct(fields):
            spoken = f"struct of {', '.join(f'`{name}`: {_spoken(it)}' for name, it in fields.items())}"
        case VectorOf():
            spoken = "vector, as long as the model's"
        case Text() | Integer() | Number() | AnyJson():
            spoken = {Text: "text", Integer: "integer", Number: "number", AnyJson: "JSON"}[type(type_)]
    return spoken


if __name__ == "__main__":
    sys.stdout.write(record_document())

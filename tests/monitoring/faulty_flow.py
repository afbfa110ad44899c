"""The real flows with one fault each, named by `FAULT`, to be run as the flow of `memewax.commands.worker`."""

import os
import time
from collections.abc import Sequence
from typing import Any, Final

from bytewax import operators as op
from bytewax.dataflow import Dataflow

from connectors.sinks.table_writer import TableWriter
from connectors.store.keyed_table import KeyedTable
from core.records import Pixels, Reading
from dataflows import memes, similarity, starting
from operators.cluster_logic import ClusterLogic
from tests.flows import pixels_flow
from tests.flows.pixels_flow import PixelReader

FAULT: Final = "FAULT"


def _loading() -> None:
    starting.load_models = lambda _settings: time.sleep(1000)  # type: ignore[assignment,return-value]


def _hangs() -> None:
    PixelReader.infer = lambda _self, _batch: time.sleep(1000)  # type: ignore[method-assign,assignment,return-value]


def _raises(_self: PixelReader, batch: Sequence[Pixels]) -> list[Reading]:
    raise RuntimeError(f"{len(batch)} images are too many")


def _reader() -> None:
    PixelReader.infer = _raises  # type: ignore[method-assign]


def _side() -> None:
    """The sides of one stage are lost on their way."""
    inner = memes.infer_texts

    def losing(step_id: str, *rest: Any) -> Any:
        found = inner(step_id, *rest)
        return op.filter("lost", found, lambda _: False) if step_id == "sentiment" else found

    memes.infer_texts = losing  # type: ignore[assignment]


def _snapshots() -> None:
    inner = ClusterLogic.snapshot

    def slow(self: ClusterLogic) -> dict[str, Any]:
        time.sleep(0.5)
        return inner(self)

    ClusterLogic.snapshot = slow  # type: ignore[method-assign]


def _disk() -> None:
    KeyedTable.upsert = lambda _self, _rows: time.sleep(1000)  # type: ignore[method-assign,assignment,return-value]


def _fragments() -> None:
    KeyedTable._needs_compaction = lambda _self: False  # type: ignore[method-assign]
    TableWriter._is_due = lambda _self: True  # type: ignore[method-assign]


_FAULTS: Final = {
    "loading": _loading,
    "hangs": _hangs,
    "reader": _reader,
    "side": _side,
    "snapshots": _snapshots,
    "disk": _disk,
    "fragments": _fragments,
}


def flow() -> Dataflow:
    """What a worker runs: pixels, fakes where the settings say so, or answering where queries are named."""
    if os.environ.get(FAULT):
        _FAULTS[os.environ[FAULT]]()
    if os.environ.get("MEMEWAX_QUERIES"):
        return similarity.flow()
    is_stand_in = os.environ.get("MEMEWAX_MODELS") == "fake"
    return memes.flow() if is_stand_in or os.environ.get(FAULT) == "loading" else pixels_flow.flow()

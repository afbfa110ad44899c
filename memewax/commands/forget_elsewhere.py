"""What `memewax forget` does in Cassandra, where no folder holds the tables."""

import time
from typing import Any, Final

from connectors.cassandra.cassandra_store import CassandraStore
from connectors.cassandra.cassandra_takings import named_rows
from connectors.cassandra.lookups import PARTS
from connectors.cassandra.whole_keyspace import forget_in_keyspace
from connectors.control.control_log import ControlLog, Request
from connectors.control.request_kinds import FORGET, deletes_in
from core.errors import WorldError

_TICK: Final = 0.1
_OPEN_AT_ONCE: Final = 1000


def named_elsewhere(store: CassandraStore, deletes: list[dict[str, Any]]) -> list[str]:
    """The ids of the posts in a keyspace that deletes name; raises `WorldError`."""
    store.check()
    rows = named_rows(store.session, deletes_in({"deletes": deletes}), range(PARTS))
    return [row["global_id"] for row in rows]


def done_elsewhere(store: CassandraStore, log: ControlLog, last: Request, *, has_flow: bool) -> None:
    """Wait until a request is done by the flow that runs; where there is no flow, do all that is open here.

    Raises `WorldError`.
    """
    while (result := log.result(last.number)) is None:
        if has_flow:
            time.sleep(_TICK)
        for request in () if has_flow else log.open_after(0, _OPEN_AT_ONCE):
            if request.kind == FORGET.name:
                log.mark(request.number, forget_in_keyspace(store.session, store.state, deletes_in(request.body)))
            elif request.number == last.number:
                log.mark(request.number, "Cassandra puts tables together by itself")
            else:
                raise WorldError(f"request {request.number} ({request.kind}) is before this one and needs a flow")
    if result.startswith("refused"):
        raise WorldError(f"request {last.number} of {store} was {result}")

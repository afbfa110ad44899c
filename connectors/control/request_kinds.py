"""Kinds of requests in a control log; a new kind is declared only here.

A step of the flow executes a request: `operators.control_input.asked` selects the requests of one kind. While no flow
runs, the command executes it, if the kind defines how. After a crash, either may execute a request a second time, so
requests must be idempotent.
"""

from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from connectors.sources.removal_form import removal_of
from core.errors import BadRecordError
from core.records import Message, Removal

if TYPE_CHECKING:
    from connectors.store.interface import Store

Body = Mapping[str, Any]
"""Parameters of a request: plain JSON values."""


@dataclass(frozen=True, slots=True)
class RequestKind:
    """A kind of request."""

    name: str
    does: str
    """Description that completes "asks the flow to"."""
    check: Callable[[Body], None]
    """Raises `BadRecordError` if the body of a request is invalid."""
    run_offline: "Callable[[Store, Body], str] | None" = None
    """Executes a request on a store while no flow runs, and returns a description; None: wait for a flow."""


def _compact_check(body: Body) -> None:
    if body:
        raise BadRecordError(f"compact takes no parameters, found {', '.join(map(repr, body))[:80]}")


def _compact_offline(store: "Store", body: Body) -> str:  # noqa: ARG001
    return store.compact()


COMPACT: Final = RequestKind("compact", "compact the tables of the store", _compact_check, _compact_offline)

_LETTER: Final = {"origin", "key", "headers", "value"}


def _replay_check(body: Body) -> None:
    letters = body.get("letters")
    if set(body) != {"letters"} or not isinstance(letters, list):
        raise BadRecordError('replay takes {"letters": […]}, the messages of dead letters')
    for it in letters:
        if not isinstance(it, dict) or set(it) != _LETTER:
            raise BadRecordError(f"expected a dead letter with exactly {', '.join(sorted(_LETTER))}")
        try:
            b64decode(it["value"], validate=True)
        except (TypeError, ValueError) as error:
            raise BadRecordError(f"the value of a dead letter is not base64: {error}") from None


REPLAY: Final = RequestKind("replay", "replay dead letters", _replay_check)

MOST_DELETES: Final = 1000
"""Maximum number of deletes in one request."""


def deletes_in(body: Body) -> list[Removal]:
    """Parse the removals in a forget request; raises `BadRecordError` if it is invalid."""
    deletes = body.get("deletes")
    if set(body) != {"deletes"} or not isinstance(deletes, list) or not 0 < len(deletes) <= MOST_DELETES:
        raise BadRecordError(f'forget takes {{"deletes": […]}}, at most {MOST_DELETES}, as a source may hold them')
    found = []
    for it in deletes:
        if not isinstance(it, dict) or it.get("deleted") is not True:
            raise BadRecordError('a delete has "deleted": true')
        found.append(removal_of(it, Message(orjson.dumps(it), "forget")))
    return found


def _forget_check(body: Body) -> None:
    deletes_in(body)


def _forget_offline(store: "Store", body: Body) -> str:
    return store.forget(deletes_in(body))


FORGET: Final = RequestKind("forget", "delete posts", _forget_check, _forget_offline)

KINDS: Final[Mapping[str, RequestKind]] = {kind.name: kind for kind in (COMPACT, REPLAY, FORGET)}
"""All kinds, by name."""

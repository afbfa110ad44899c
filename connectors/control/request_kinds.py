"""The kinds of requests that a control log may hold: a new one is declared here, and nowhere else.

A step of the flow does what is asked: `operators.control_input.asked` picks the requests of one kind. Where no flow
runs the command does it, if the kind says how. Either may come to a request a second time after a crash: what is done
twice must be as if it were done once.
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
"""What a request says besides its kind: plain values, as JSON has them."""


@dataclass(frozen=True, slots=True)
class RequestKind:
    """A kind of request."""

    name: str
    does: str
    """In words, to follow "asks the flow to"."""
    check: Callable[[Body], None]
    """Raises `BadRecordError` saying what is wrong with the body of such a request."""
    alone: "Callable[[Store, Body], str] | None" = None
    """Does it to a store where no flow runs, and says what was done; None: it waits for a flow."""


def _compact_check(body: Body) -> None:
    if body:
        raise BadRecordError(f"compact takes nothing more, found {', '.join(map(repr, body))[:80]}")


def _compact_alone(store: "Store", body: Body) -> str:  # noqa: ARG001
    return store.compact()


COMPACT: Final = RequestKind(
    "compact", "put the tables of the store together, and drop their old versions", _compact_check, _compact_alone
)

_LETTER: Final = {"origin", "key", "headers", "value"}


def _replay_check(body: Body) -> None:
    letters = body.get("letters")
    if set(body) != {"letters"} or not isinstance(letters, list):
        raise BadRecordError('replay takes {"letters": […]}, the messages of dead letters')
    for it in letters:
        if not isinstance(it, dict) or set(it) != _LETTER:
            raise BadRecordError(f"a letter to be replayed has {', '.join(sorted(_LETTER))} and nothing more")
        try:
            b64decode(it["value"], validate=True)
        except (TypeError, ValueError) as error:
            raise BadRecordError(f"the value of a letter is no base64: {error}") from None


REPLAY: Final = RequestKind("replay", "read the messages of dead letters once more", _replay_check)

MOST_DELETES: Final = 1000
"""In one request."""


def deletes_in(body: Body) -> list[Removal]:
    """What a request to forget takes back; raises `BadRecordError` where it is none."""
    told = body.get("deletes")
    if set(body) != {"deletes"} or not isinstance(told, list) or not 0 < len(told) <= MOST_DELETES:
        raise BadRecordError(f'forget takes {{"deletes": […]}}, at most {MOST_DELETES}, as a source may hold them')
    found = []
    for it in told:
        if not isinstance(it, dict) or it.get("deleted") is not True:
            raise BadRecordError('a delete has "deleted": true')
        found.append(removal_of(it, Message(orjson.dumps(it), "forget")))
    return found


def _forget_check(body: Body) -> None:
    deletes_in(body)


def _forget_alone(store: "Store", body: Body) -> str:
    return store.forget(deletes_in(body))


FORGET: Final = RequestKind("forget", "let go of posts", _forget_check, _forget_alone)

KINDS: Final[Mapping[str, RequestKind]] = {kind.name: kind for kind in (COMPACT, REPLAY, FORGET)}
"""All kinds, by name."""

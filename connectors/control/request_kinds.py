"""The kinds of requests that a control log may hold: a new one is declared here, and nowhere else.

A step of the flow does what is asked: `operators.control_input.asked` picks the requests of one kind. Where no flow
runs the command does it, if the kind says how. Either may come to a request a second time after a crash: what is done
twice must be as if it were done once.
"""

from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from core.errors import BadRecordError

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
    alone: Callable[[Path, Body], str] | None = None
    """Does it to the store in a folder where no flow runs, and says what was done; None: it waits for a flow."""


def _compact_check(body: Body) -> None:
    if body:
        raise BadRecordError(f"compact takes nothing more, found {', '.join(map(repr, body))[:80]}")


def _compact_alone(store: Path, body: Body) -> str:  # noqa: ARG001
    from connectors.store.whole_store import compact_store

    return compact_store(store)


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

KINDS: Final[Mapping[str, RequestKind]] = {kind.name: kind for kind in (COMPACT, REPLAY)}
"""All kinds, by name."""

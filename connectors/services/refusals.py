"""What a service says when it refuses, in one line that says what to do."""

from typing import Final

import orjson

from connectors.services.api_web import ApiAnswer
from core.errors import WorldError

_REASONS: Final = (("reason",), ("message",), ("data", "error"), ("meta", "msg"))
"""Where the services' error bodies say what is wrong."""


class MissingError(WorldError):
    """A service has no such thing, has it no more, or leads to where it may not be looked for."""


def refused(answer: ApiAnswer, service: str, path: str, variables: str) -> WorldError:
    """Why there is no answer for `path`, as an error to be raised.

    Args:
        answer: What the server said.
        service: Its name.
        path: What was asked for; of a feed its URL.
        variables: The settings with the key that was shown; empty for feeds, which take none.
    """
    if not variables:
        return _no_feed(answer.status, path)
    reason = reason_in(answer)
    said = f"HTTP {answer.status}" + (f", {reason}" if reason else "")
    if answer.status == 401:
        return WorldError(f"{service} refuses the key ({said}): check {variables}")
    if answer.status == 403:
        return WorldError(
            f"{service} does not show {path} ({said}): it is private or blocked, or {variables} may not see it"
        )
    if answer.status in {301, 302, 303, 307, 308, 404}:
        return MissingError(f"{service} has no {path} ({said}): check the name")
    if answer.status == 410:
        return MissingError(f"{service} has ended {path} ({said})")
    return WorldError(f"{service} refuses to answer for {path} ({said})")


def _no_feed(status: int, url: str) -> MissingError:
    if status == 410:
        return MissingError(f"the feed {url} is gone (410)")
    if status == 404:
        return MissingError(f"there is no feed {url} (404): check its address")
    if status in {401, 403}:
        return MissingError(f"the feed {url} is not open to everybody ({status})")
    return MissingError(f"the feed {url} cannot be read: its server answers with HTTP {status}")


def reason_in(answer: ApiAnswer) -> str:
    """What the body of an error says, where it is short and plain."""
    try:
        body = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return ""
    for keys in _REASONS:
        found = body
        for key in keys:
            found = found.get(key) if isinstance(found, dict) else None
        if isinstance(found, str) and 0 < len(found) <= 80 and found.isprintable():
            return found
    return ""

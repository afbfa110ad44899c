"""Error messages for requests that a service refuses: one line that says what to do."""

from typing import Final

import orjson

from connectors.services.api_web import ApiAnswer
from core.errors import WorldError

_REASONS: Final = (("reason",), ("message",), ("data", "error"), ("meta", "msg"))
"""Paths of the reason in the services' error bodies."""


class MissingError(WorldError):
    """What was requested does not exist, was deleted, or redirects to an address that is not allowed."""


def refused(answer: ApiAnswer, service: str, path: str, variables: str) -> WorldError:
    """Return the error to raise for a refused request.

    Args:
        answer: The server's response.
        service: Name of the service.
        path: The requested path; for a feed its URL.
        variables: Environment variables with the credentials; empty for feeds, which need none.
    """
    if not variables:
        return _no_feed(answer.status, path)
    reason = reason_in(answer)
    said = f"HTTP {answer.status}" + (f", {reason}" if reason else "")
    if answer.status == 401:
        return WorldError(f"{service} rejects the credentials ({said}): check {variables}")
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
        return MissingError(f"the feed {url} is not public ({status})")
    return MissingError(f"cannot read the feed {url}: its server responds with HTTP {status}")


def reason_in(answer: ApiAnswer) -> str:
    """Return the reason in the body of an error response, or "" if there is no short printable one."""
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

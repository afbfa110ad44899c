"""Outcomes of a fetch: a small fixed set, since it is a label of metrics."""

from enum import StrEnum

from core.errors import BadRecordError


class Outcome(StrEnum):
    """How a fetch ended."""

    OK = "ok"
    REFUSED = "refused"
    """The address, port or path is not allowed (SSRF guard)."""
    UNSUPPORTED = "unsupported"
    """The URL's scheme is not supported, or its driver is not installed."""
    NOT_FOUND = "not_found"
    """The file or object does not exist."""
    UNREACHABLE = "unreachable"
    """Unknown host, no connection, or a broken one."""
    TIMEOUT = "timeout"
    HTTP_ERROR = "http_error"
    """The server responded with an error."""
    TOO_LARGE = "too_large"
    """Too many bytes or pixels."""
    NOT_AN_IMAGE = "not_an_image"
    BROKEN_IMAGE = "broken_image"
    """It has the signature of an image but cannot be decoded."""
    FATAL = "fatal"
    """Poison: it crashed the process several times."""
    FAILED = "failed"
    """Anything else."""


class FetchError(BadRecordError):
    """An image could not be fetched or decoded."""

    def __init__(self, outcome: Outcome, reason: str, *, again: bool = False, after: float | None = None) -> None:
        super().__init__(reason)
        self.outcome = outcome
        self.again = again
        """Whether an immediate retry may succeed."""
        self.after = after
        """Seconds to wait before the retry, from the server's Retry-After."""

    @property
    def may_pass(self) -> bool:
        """Return whether a later retry may succeed."""
        return self.again or self.outcome is Outcome.TIMEOUT


def outcome_of(error: BaseException) -> Outcome:
    """Return the label of a fetch that raised `error`."""
    return error.outcome if isinstance(error, FetchError) else Outcome.FAILED

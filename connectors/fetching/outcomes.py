"""How a fetch can end: a small fixed set, so that it can be the label of a metric."""

from enum import StrEnum

from core.errors import BadRecordError


class Outcome(StrEnum):
    """How a fetch ended."""

    OK = "ok"
    REFUSED = "refused"
    """An address, port or path that a post may not name."""
    UNSUPPORTED = "unsupported"
    """No way to fetch such a URL, or the driver for it is not installed."""
    NOT_FOUND = "not_found"
    """No such file or object."""
    UNREACHABLE = "unreachable"
    """No such host, no connection, or one that broke off."""
    TIMEOUT = "timeout"
    HTTP_ERROR = "http_error"
    """The server answered, and not with an image's bytes."""
    TOO_LARGE = "too_large"
    """Too many bytes or pixels."""
    NOT_AN_IMAGE = "not_an_image"
    BROKEN_IMAGE = "broken_image"
    """It begins as an image and cannot be decoded."""
    FATAL = "fatal"
    """The process ended when it was worked on, more than once."""
    FAILED = "failed"
    """Anything else."""


class FetchError(BadRecordError):
    """Why there is no image."""

    def __init__(self, outcome: Outcome, reason: str, *, again: bool = False, after: float | None = None) -> None:
        super().__init__(reason)
        self.outcome = outcome
        self.again = again
        """Whether another try may end otherwise."""
        self.after = after
        """Seconds to wait before it, where the server said so."""

    @property
    def may_pass(self) -> bool:
        """Whether a try some time later may end otherwise."""
        return self.again or self.outcome is Outcome.TIMEOUT


def outcome_of(error: BaseException) -> Outcome:
    """The label of a fetch that raised `error`."""
    return error.outcome if isinstance(error, FetchError) else Outcome.FAILED

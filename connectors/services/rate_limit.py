"""How fast a service lets itself be asked: its rate-limit headers and `Retry-After`."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from weakref import WeakValueDictionary

from core.times import seconds_to_wait

_UNSAID_SECONDS: Final = 3600.0
"""Where a quota is used up and the service does not say until when."""
_EPOCH: Final = 1e9
"""A reset beyond it is a time since 1970, one below it a number of seconds."""


@dataclass(frozen=True, slots=True)
class Quota:
    """The headers of one quota: requests left, and when there will be more."""

    remaining: str
    reset: str


@dataclass(slots=True, weakref_slot=True)
class RateLimiter:
    """What all who ask one service, or of feeds one host, share: one request at a time, and none before the service allows it."""

    opens_at: float = 0.0
    """Seconds since 1970."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, headers: Mapping[str, str], quotas: Sequence[Quota], now: float) -> None:
        """Take note of what an answer says of the next request."""
        waits = [_number(headers.get(quota.reset)) for quota in quotas if _is_used_up(headers.get(quota.remaining))]
        ends = [now + _UNSAID_SECONDS if it is None else it if it >= _EPOCH else now + it for it in waits]
        asked = seconds_to_wait(headers.get("retry-after"), now)
        self.opens_at = max([self.opens_at, *ends, *([] if asked is None else [now + asked])])


_GATES: Final[WeakValueDictionary[str, RateLimiter]] = WeakValueDictionary()


def rate_limiter_of_host(host: str) -> RateLimiter:
    """The rate limiter of a host: one for all in this process who ask it."""
    return _GATES.setdefault(host, RateLimiter())


def _is_used_up(remaining: str | None) -> bool:
    left = _number(remaining)
    return left is not None and left < 1


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if 0 <= number < 1e11 else None  # neither negative nor NaN nor endless

"""Rate limits of services, from their rate-limit headers and `Retry-After`."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from weakref import WeakValueDictionary

from core.times import seconds_to_wait

_UNSAID_SECONDS: Final = 3600.0
"""Wait if a quota is used up and the service does not say until when."""
_EPOCH: Final = 1e9
"""A reset value from here on is seconds since 1970; a smaller one is seconds from now."""


@dataclass(frozen=True, slots=True)
class Quota:
    """Names of the headers of one quota: requests left, and the time of the reset."""

    remaining: str
    reset: str


@dataclass(slots=True, weakref_slot=True)
class RateLimiter:
    """Allows one request at a time, and none before the service permits it.

    Shared by all readers of a service, or for feeds, of a host.
    """

    opens_at: float = 0.0
    """No request before this time, in seconds since 1970."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, headers: Mapping[str, str], quotas: Sequence[Quota], now: float) -> None:
        """Update the time of the next request from the headers of a response."""
        waits = [_number(headers.get(quota.reset)) for quota in quotas if _is_used_up(headers.get(quota.remaining))]
        ends = [now + _UNSAID_SECONDS if it is None else it if it >= _EPOCH else now + it for it in waits]
        asked = seconds_to_wait(headers.get("retry-after"), now)
        self.opens_at = max([self.opens_at, *ends, *([] if asked is None else [now + asked])])


_LIMITERS: Final[WeakValueDictionary[str, RateLimiter]] = WeakValueDictionary()


def rate_limiter_of_host(host: str) -> RateLimiter:
    """Return the rate limiter of a host, which all readers in this process share."""
    return _LIMITERS.setdefault(host, RateLimiter())


def _is_used_up(remaining: str | None) -> bool:
    left = _number(remaining)
    return left is not None and left < 1


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if 0 <= number < 1e11 else None  # excludes negative values, NaN and infinity

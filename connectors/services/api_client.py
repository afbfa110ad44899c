"""Client of a service's API: sends credentials, obeys rate limits, and retries transient errors."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

import orjson
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, stop_never
from tenacity.wait import wait_exponential_jitter

from connectors.http_client import RedirectError
from connectors.services.api_web import ApiAnswer, ApiWeb, TransientError
from connectors.services.clock import Clock
from connectors.services.rate_limit import Quota, RateLimiter
from connectors.services.refusals import MissingError, reason_in, refused
from core.errors import WorldError
from core.telemetry import SERVICE_REQUESTS, SERVICE_WAIT, log

T = TypeVar("T")

_LONGEST_WAIT: Final = 120.0
"""Longest back-off between two attempts, in seconds, before jitter."""
_LOGGED_SECONDS: Final = 5.0
"""Shorter waits are not logged."""
_MARKS: Final = {"etag": "if-none-match", "last-modified": "if-modified-since"}
_LONGEST_MARK: Final = 1024
"""Longest ETag or Last-Modified to remember, in characters: each snapshot holds them."""
_TRANSIENT: Final = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})
"""HTTP statuses worth a retry."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Timeout, retries and back-off of the requests to a service."""

    seconds: float
    """Timeout of one request."""
    attempts: int
    """Maximum number of attempts; 0: unlimited."""
    backoff: float
    """Seconds before the first retry; doubled each time, plus a jitter of up to twice this value."""
    patience: float
    """Longest wait that a service may ask for, in seconds; a run ends if it asks for more."""


class Credentials(Protocol):
    """The credentials that a service expects."""

    variables: str
    """Environment variables that hold them, for error messages."""

    def headers(self, web: ApiWeb) -> Mapping[str, str]:
        """Return the headers of each request.

        Raises the errors of `ApiWeb.request`, and `WorldError` if the service rejects the credentials.
        """

    def params(self) -> Mapping[str, str]:
        """Return the query parameters of each request."""

    def renew(self) -> bool:
        """Discard rejected credentials; return whether a retry would send new ones."""


class ApiClient:
    """Client of one service for one reader; all clients of a service share its rate limiter and credentials."""

    def __init__(
        self,
        service: str,
        base: str,
        credentials: Credentials,
        quotas: Sequence[Quota],
        *,
        rate_limiter: RateLimiter,
        web: ApiWeb,
        clock: Clock,
        retry_policy: RetryPolicy,
    ) -> None:
        self._service = service
        self._base = base.rstrip("/")
        self._credentials = credentials
        self._quotas = quotas
        self._rate_limiter = rate_limiter
        self._web = web
        self._clock = clock
        self._retry_policy = retry_policy
        self._marks: dict[str, dict[str, str]] = {}
        """Headers of conditional requests, by path (If-None-Match, If-Modified-Since)."""

    def marks(self, path: str) -> Mapping[str, str]:
        """Return the conditional headers with the known version of `path`; empty if it was never watched."""
        return self._marks.get(path, {})

    def remember(self, path: str, marks: Mapping[str, str]) -> None:
        """Restore the conditional headers of `path`, from `marks` of an earlier run."""
        self._marks[path] = dict(marks)

    def get(
        self,
        path: str,
        params: Mapping[str, str | int],
        read: Callable[[Any], T],
        *,
        watch: bool = False,
        decode: Callable[[ApiAnswer], Any] | None = None,
    ) -> T | None:
        """Request `path`, decode the response and return `read` of it.

        Args:
            path: Path below the base URL, or a whole URL if the base is empty. It appears in error messages.
            params: Query parameters.
            read: Parses the decoded body; raises `TransientError` if it has an unexpected form.
            watch: Return None if nothing has changed since the last such request (ETag, Last-Modified).
            decode: Decodes the response, JSON by default; raises `TransientError` if it cannot.

        Raises:
            WorldError: if the service refuses, does not know the path, or keeps failing.
        """
        backoff = self._retry_policy.backoff
        retrying = Retrying(
            retry=retry_if_exception_type(TransientError),
            wait=wait_exponential_jitter(backoff, _LONGEST_WAIT, jitter=2 * backoff),
            stop=stop_after_attempt(self._retry_policy.attempts) if self._retry_policy.attempts else stop_never,
            sleep=self._sleep,
            before_sleep=self._log_retry,
            reraise=True,
        )
        try:
            return retrying(self._get, path, params, lambda it: read((decode or _json)(it)), watch)
        except TransientError as trouble:
            raise WorldError(
                f"{self._service} failed {self._retry_policy.attempts} times in a row: {trouble}; "
                "run the same command again later to continue"
            ) from None

    def _get(self, path: str, params: Mapping[str, str | int], read: Callable[[ApiAnswer], T], watch: bool) -> T | None:
        answer = self._ask(path, params, watch)
        if answer.status == 401 and self._credentials.renew():
            answer = self._ask(path, params, watch)
        if answer.status == 304:
            self._count("unchanged")
            return None
        if answer.status in _TRANSIENT:
            self._count("limited" if answer.status == 429 else "failed")
            raise TransientError(f"HTTP {answer.status}")
        if answer.status != 200:
            self._count("refused")
            raise refused(answer, self._service, path, self._credentials.variables)
        try:
            found = read(answer)
        except TransientError:
            self._count("failed")
            raise
        self._count("ok")
        if watch:
            known = {name: answer.headers.get(said) for said, name in _MARKS.items()}
            self._marks[path] = {name: value for name, value in known.items() if value and len(value) <= _LONGEST_MARK}
        return found

    def _ask(self, path: str, params: Mapping[str, str | int], watch: bool) -> ApiAnswer:
        with self._rate_limiter.lock:
            self._wait_for_rate_limit()
            try:
                headers = {**self._credentials.headers(self._web), **(self._marks.get(path, {}) if watch else {})}
                query = {**params, **self._credentials.params()}
                url = f"{self._base}/{path}" if self._base else path
                answer = self._web.request("GET", url, headers=headers, params=query)
            except TransientError:
                self._count("failed")
                raise
            except RedirectError as error:
                self._count("refused")
                raise MissingError(f"{path} was not read: {error}") from None
            self._rate_limiter.note(answer.headers, self._quotas, self._clock.now())
            return answer

    def _wait_for_rate_limit(self) -> None:
        seconds = self._rate_limiter.opens_at - self._clock.now()
        if seconds <= 0:
            return
        if seconds > self._retry_policy.patience:
            raise WorldError(
                f"{self._service} asks to wait {seconds:,.0f} s, longer than MEMEWAX_POLL_PATIENCE_SECONDS allows: "
                "run the same command again later to continue"
            )
        if seconds > _LOGGED_SECONDS:
            log.info("waiting for the service's rate limit", service=self._service, seconds=round(seconds))
        self._sleep(seconds)

    def _sleep(self, seconds: float) -> None:
        SERVICE_WAIT.labels(self._service).inc(seconds)
        self._clock.sleep(seconds)

    def _log_retry(self, state: RetryCallState) -> None:
        assert state.outcome is not None
        trouble = str(state.outcome.exception())
        log.warning("retrying", service=self._service, trouble=trouble, attempt=state.attempt_number)

    def _count(self, outcome: str) -> None:
        SERVICE_REQUESTS.labels(self._service, outcome).inc()


def _json(answer: ApiAnswer) -> Any:
    try:
        body = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        raise TransientError("the response is not JSON") from None
    if isinstance(body, dict) and body.get("success") is False:  # Imgur reports errors with status 200
        raise TransientError(f"an error with status 200: {reason_in(answer) or 'no reason given'}")
    return body

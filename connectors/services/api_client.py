"""Asking a service: with its keys, at its pace, and again where that helps."""

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
"""Between two requests of the same, but for the random part."""
_TOLD_SECONDS: Final = 5.0
"""Shorter waits are not worth a line in the log."""
_MARKS: Final = {"etag": "if-none-match", "last-modified": "if-modified-since"}
_LONGEST_MARK: Final = 1024
"""They are kept in each snapshot."""
_PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How patiently a service is asked."""

    seconds: float
    """For one request."""
    attempts: int
    """Requests until one of them succeeds; 0: for ever."""
    backoff: float
    """Wait before a request is sent again; doubled each time, with up to twice as much as the first on top."""
    patience: float
    """Longest wait that a service may ask for."""


class Credentials(Protocol):
    """What a service wants to see before it answers."""

    variables: str
    """The settings that hold it."""

    def headers(self, web: ApiWeb) -> Mapping[str, str]:
        """To be sent with each request; raises as `ApiWeb.ask` does, and `WorldError` where they are refused."""

    def params(self) -> Mapping[str, str]:
        """To be sent with each request."""

    def renew(self) -> bool:
        """Whether asking again would send other headers, after these were refused."""


class ApiClient:
    """Asks one service for one reader; those of a service share its rate limiter and its credentials."""

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
        self._manners = retry_policy
        self._marks: dict[str, dict[str, str]] = {}
        """By path, what is sent to be told that nothing has changed."""

    def marks(self, path: str) -> Mapping[str, str]:
        """The headers that say which version of `path` is known; none where it was never watched."""
        return self._marks.get(path, {})

    def remember(self, path: str, marks: Mapping[str, str]) -> None:
        """Take the version of `path` that `marks` name for known."""
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
        """What `read` makes of the JSON at `path`, or of what `decode` makes of the answer.

        Args:
            path: Below the base, or a whole URL where there is none; it appears in errors.
            params: The query.
            read: Raises `TransientError` where that is not what was asked for.
            watch: Answer with None where nothing has changed since the last such question (ETag, Last-Modified).
            decode: Raises `TransientError` where the answer is of another form.

        Raises:
            WorldError: where the service refuses, does not know the path, or keeps failing.
        """
        backoff = self._manners.backoff
        retrying = Retrying(
            retry=retry_if_exception_type(TransientError),
            wait=wait_exponential_jitter(backoff, _LONGEST_WAIT, jitter=2 * backoff),
            stop=stop_after_attempt(self._manners.attempts) if self._manners.attempts else stop_never,
            sleep=self._sleep,
            before_sleep=self._tell,
            reraise=True,
        )
        try:
            return retrying(self._get, path, params, lambda it: read((decode or _json)(it)), watch)
        except TransientError as trouble:
            raise WorldError(
                f"{self._service} does not answer as it should, {self._manners.attempts} times in a row: {trouble}; "
                "run the same command again later and it goes on"
            ) from None

    def _get(self, path: str, params: Mapping[str, str | int], read: Callable[[ApiAnswer], T], watch: bool) -> T | None:
        answer = self._ask(path, params, watch)
        if answer.status == 401 and self._credentials.renew():
            answer = self._ask(path, params, watch)
        if answer.status == 304:
            self._count("unchanged")
            return None
        if answer.status in _PASSING:
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
            self._wait_at_gate()
            try:
                headers = {**self._credentials.headers(self._web), **(self._marks.get(path, {}) if watch else {})}
                query = {**params, **self._credentials.params()}
                url = f"{self._base}/{path}" if self._base else path
                answer = self._web.ask("GET", url, headers=headers, params=query)
            except TransientError:
                self._count("failed")
                raise
            except RedirectError as error:
                self._count("refused")
                raise MissingError(f"{path} is not read: {error}") from None
            self._rate_limiter.note(answer.headers, self._quotas, self._clock.now())
            return answer

    def _wait_at_gate(self) -> None:
        seconds = self._rate_limiter.opens_at - self._clock.now()
        if seconds <= 0:
            return
        if seconds > self._manners.patience:
            raise WorldError(
                f"{self._service} asks to wait {seconds:,.0f} s, longer than MEMEWAX_POLL_PATIENCE_SECONDS allows: "
                "run the same command again later and it goes on"
            )
        if seconds > _TOLD_SECONDS:
            log.info("waiting as the service asks", service=self._service, seconds=round(seconds))
        self._sleep(seconds)

    def _sleep(self, seconds: float) -> None:
        SERVICE_WAIT.labels(self._service).inc(seconds)
        self._clock.sleep(seconds)

    def _tell(self, state: RetryCallState) -> None:
        assert state.outcome is not None
        trouble = str(state.outcome.exception())
        log.warning("asking again", service=self._service, trouble=trouble, attempt=state.attempt_number)

    def _count(self, outcome: str) -> None:
        SERVICE_REQUESTS.labels(self._service, outcome).inc()


def _json(answer: ApiAnswer) -> Any:
    try:
        body = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        raise TransientError("an answer that is not JSON") from None
    if isinstance(body, dict) and body.get("success") is False:  # as Imgur says it, with status 200
        raise TransientError(f"no success: {reason_in(answer) or 'no reason given'}")
    return body

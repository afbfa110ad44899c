"""A polled service as an endpoint: `SERVICE:NAME[+NAME…]`.

To add a service, write a module with its listing (`connectors.services.listing`), its group of settings, and a
`Service`, and add a line to `connectors.endpoints`.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, Final, Self, TypeVar

from pydantic import SecretStr

from connectors.endpoint import Endpoint, SourceOptions
from connectors.fetching.address_policy import AddressPolicy
from connectors.services.api_client import ApiClient, Credentials, RetryPolicy
from connectors.services.api_web import ApiWeb
from connectors.services.clock import Clock
from connectors.services.listing import Listing
from connectors.services.poll_settings import PollSettings
from connectors.services.polling_cycles import PollingOptions
from connectors.services.polling_source import Opening, PollingSource
from connectors.services.rate_limit import Quota, RateLimiter
from connectors.sources.source import PlacedSource
from core import __version__
from core.errors import SettingsError

S = TypeVar("S", bound=PollSettings)
_PUBLIC: Final = AddressPolicy()
Make = Callable[[ApiClient, str], Listing]


class Service(Endpoint[S]):
    """The listings of a service that an address names."""

    name: ClassVar[str]
    """Name of the service; its addresses begin with it and a colon."""
    names_help: ClassVar[str]
    """The names that listings may have, for help texts."""
    naming: ClassVar[str] = "NAME"
    """Placeholder for a listing's name in an address, for help texts."""
    redirects: ClassVar[int] = 0
    """Maximum number of redirects to follow; 0 for an API, where a redirect means that the listing does not exist."""

    def __init_subclass__(cls) -> None:
        cls.reads = f"{cls.name}:{cls.naming}"

    def __init__(self, address: str, names: tuple[str, ...]) -> None:
        super().__init__(address)
        self.names = names
        self._rate_limiter = RateLimiter()

    @classmethod
    def of(cls, address: str) -> Self | None:
        """Parse an address; return None if it is another service's. Raises `SettingsError` if it names no listing."""
        service, colon, rest = address.partition(":")
        if service != cls.name or not colon:
            return None
        names = cls.names_in(rest)
        if not names:
            raise SettingsError(f"{address!r} is not {cls.name}:{cls.naming} or {cls.name}:{cls.naming}+{cls.naming}")
        return cls(address, names)

    @classmethod
    def names_in(cls, text: str) -> tuple[str, ...]:
        """Parse the listings' names in an address, without duplicates; raises `SettingsError` if a name is invalid."""
        return tuple(dict.fromkeys(name.strip() for name in text.split("+") if name.strip()))

    def source(self, options: SourceOptions, settings: S) -> PlacedSource:
        """Make a source of new posts; raises `SettingsError` if the service's credentials are not set."""
        polling = PollingOptions(
            batch=options.batch,
            pages=settings.poll_pages,
            most_pages=settings.poll_most_pages,
            seen=settings.poll_seen,
            follow=options.follow,
            interval=self.interval(settings),
        )
        retry_policy = RetryPolicy(
            seconds=settings.poll_timeout_seconds,
            attempts=settings.poll_attempts,
            backoff=settings.poll_backoff_seconds,
            patience=settings.poll_patience_seconds,
        )
        return PollingSource(self.name, self.names, polling, retry_policy, self.opening(settings))

    def interval(self, settings: S) -> float:
        """Return the seconds between two polling cycles of a listing."""
        return settings.poll_interval_seconds

    def rate_limiter(self, name: str) -> RateLimiter:  # noqa: ARG002 - all are on one server
        """Return the rate limiter of a listing's server, which all its readers share."""
        return self._rate_limiter

    @abstractmethod
    def opening(self, settings: S) -> Opening:
        """Return a function that opens a listing; raises `SettingsError` if credentials are not set."""

    def opened_by(
        self,
        make: Make,
        base: str,
        credentials: Credentials,
        quotas: Sequence[Quota] = (),
        user_agent: str = "",
        allowed: AddressPolicy = _PUBLIC,
    ) -> Opening:
        """Return a function that opens listings with an `ApiClient`; those of one server share a rate limiter.

        Redirects to other servers may lead to the public web and to addresses that `allowed` permits (SSRF guard).
        """
        agent = user_agent or f"python:memewax:v{__version__}"

        def opening(name: str, clock: Clock, retry_policy: RetryPolicy) -> tuple[Listing, Callable[[], None]]:
            web = ApiWeb(retry_policy.seconds, agent, self.redirects, allowed)
            rate_limiter = self.rate_limiter(name)
            client = ApiClient(
                self.name,
                base,
                credentials,
                quotas,
                rate_limiter=rate_limiter,
                web=web,
                clock=clock,
                retry_policy=retry_policy,
            )
            return make(client, name), web.close

        return opening

    def need(self, where: str, **keys: SecretStr) -> None:
        """Check that credentials are set.

        Args:
            where: Where the user gets them, for the error message.
            keys: Credentials by their names in the settings.

        Raises:
            SettingsError: if one is empty.
        """
        missing = [f"MEMEWAX_{name.upper()}" for name, key in keys.items() if not key.get_secret_value()]
        if missing:
            raise SettingsError(f"{self.name} needs credentials: set {' and '.join(missing)}, which come with {where}")

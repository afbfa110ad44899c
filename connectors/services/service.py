"""A service that is polled, as an address: `SERVICE:NAME[+NAME…]`.

A service is a module with its listing (`connectors.services.listing`), its group of settings, and a `Service`; and a
line in `connectors.endpoints`.
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
    """Listings of a service, by their names."""

    name: ClassVar[str]
    """Of the service: an address begins with it and a colon."""
    names_help: ClassVar[str]
    """What its listings are called, for help."""
    naming: ClassVar[str] = "NAME"
    """How the name of a listing stands in an address, for help."""
    redirects: ClassVar[int] = 0
    """That are followed, at most: those of an API mean that there is no such listing."""

    def __init_subclass__(cls) -> None:
        cls.reads = f"{cls.name}:{cls.naming}"

    def __init__(self, address: str, names: tuple[str, ...]) -> None:
        super().__init__(address)
        self.names = names
        self._rate_limiter = RateLimiter()

    @classmethod
    def of(cls, address: str) -> Self | None:
        """The listings, each name once; raises `SettingsError` where there is none."""
        service, colon, rest = address.partition(":")
        if service != cls.name or not colon:
            return None
        names = cls.names_in(rest)
        if not names:
            raise SettingsError(f"{address!r} is not {cls.name}:{cls.naming} or {cls.name}:{cls.naming}+{cls.naming}")
        return cls(address, names)

    @classmethod
    def names_in(cls, text: str) -> tuple[str, ...]:
        """Names of listings, as an address has them; raises `SettingsError` where one can be none."""
        return tuple(dict.fromkeys(name.strip() for name in text.split("+") if name.strip()))

    def source(self, options: SourceOptions, settings: S) -> PlacedSource:
        """New posts of the listings; raises `SettingsError` where the service's keys are not set."""
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
        """Seconds between two rounds of one listing."""
        return settings.poll_interval_seconds

    def rate_limiter(self, name: str) -> RateLimiter:  # noqa: ARG002 - all are on one server
        """What is shared by those who ask the server of a listing."""
        return self._rate_limiter

    @abstractmethod
    def opening(self, settings: S) -> Opening:
        """What opens a listing; raises `SettingsError` where the keys are not set."""

    def opened_by(
        self,
        make: Make,
        base: str,
        credentials: Credentials,
        quotas: Sequence[Quota] = (),
        user_agent: str = "",
        allowed: AddressPolicy = _PUBLIC,
    ) -> Opening:
        """What opens listings by a client of the service's API, those of a server behind one rate limiter.

        Redirects to other servers lead to the public web, or to what is `allowed` besides.
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
        """Raise `SettingsError` where keys are not set, by their names in the settings; `where` they come from."""
        missing = [f"MEMEWAX_{name.upper()}" for name, key in keys.items() if not key.get_secret_value()]
        if missing:
            raise SettingsError(
                f"{self.name} wants to know who asks: set {' and '.join(missing)}, which come with {where}"
            )

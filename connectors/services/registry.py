"""The services by name, with what the settings say of each."""

import threading
from collections.abc import Callable, Mapping, Sequence

from pydantic import SecretStr

from connectors.connector_settings import SourceSettings
from connectors.endpoints import service_address
from connectors.services.api_client import ApiClient, Authority, Manners
from connectors.services.api_web import ApiWeb
from connectors.services.clock import Clock, WallClock
from connectors.services.imgur import QUOTAS as IMGUR_QUOTAS
from connectors.services.imgur import ClientId, Gallery, ImgurSettings, path_of
from connectors.services.listing import Listing
from connectors.services.pace import Gate, Quota
from connectors.services.poll_settings import PollSettings
from connectors.services.polled import Opening, Polled
from connectors.services.reddit import QUOTAS as REDDIT_QUOTAS
from connectors.services.reddit import RedditSettings, Subreddit
from connectors.services.reddit_token import Token
from connectors.services.rounds import Polling
from connectors.services.tumblr import QUOTAS as TUMBLR_QUOTAS
from connectors.services.tumblr import ApiKey, Blog, TumblrSettings
from core import __version__
from core.errors import SettingsError

Make = Callable[[ApiClient, str], Listing]


class ServiceSettings(TumblrSettings, ImgurSettings, RedditSettings, PollSettings):
    """The settings of all services."""


class PolledSettings(ServiceSettings, SourceSettings):
    """What a polled source is made of."""


def polled(address: str, settings: PolledSettings) -> Polled:
    """The source of an address; raises `SettingsError` where the service's keys are not set."""
    service, names = service_address(address)
    polling = Polling(
        batch=settings.read_batch,
        pages=settings.poll_pages,
        most_pages=settings.poll_most_pages,
        seen=settings.poll_seen,
        follow=settings.is_followed,
        interval=settings.poll_interval_seconds,
    )
    manners = Manners(
        seconds=settings.poll_timeout_seconds,
        attempts=settings.poll_attempts,
        backoff=settings.poll_backoff_seconds,
        patience=settings.poll_patience_seconds,
    )
    return Polled(service, names, polling, manners, _OPENINGS[service](settings, names))


def _reddit(settings: RedditSettings, _names: Sequence[str]) -> Opening:
    _need("reddit", "an application of type 'script' at https://www.reddit.com/prefs/apps", {
        "REDDIT_CLIENT_ID": settings.reddit_client_id,
        "REDDIT_CLIENT_SECRET": settings.reddit_client_secret,
    })  # fmt: skip
    token = Token(
        settings.reddit_token_url,
        settings.reddit_client_id,
        settings.reddit_client_secret,
        WallClock(threading.Event()),
    )
    return _opening("reddit", settings.reddit_url, token, REDDIT_QUOTAS, Subreddit, settings.reddit_user_agent)


def _imgur(settings: ImgurSettings, names: Sequence[str]) -> Opening:
    for name in names:
        path_of(name)
    _need("imgur", "an application at https://api.imgur.com/oauth2/addclient", {
        "IMGUR_CLIENT_ID": settings.imgur_client_id,
    })  # fmt: skip
    return _opening("imgur", settings.imgur_url, ClientId(settings.imgur_client_id), IMGUR_QUOTAS, Gallery)


def _tumblr(settings: TumblrSettings, _names: Sequence[str]) -> Opening:
    _need("tumblr", "an application at https://www.tumblr.com/oauth/apps", {
        "TUMBLR_API_KEY": settings.tumblr_api_key,
    })  # fmt: skip
    return _opening("tumblr", settings.tumblr_url, ApiKey(settings.tumblr_api_key), TUMBLR_QUOTAS, Blog)


_OPENINGS: Mapping[str, Callable[[ServiceSettings, Sequence[str]], Opening]] = {
    "reddit": _reddit,
    "imgur": _imgur,
    "tumblr": _tumblr,
}


def _need(service: str, where: str, keys: dict[str, SecretStr]) -> None:
    missing = [f"MEMEWAX_{name}" for name, key in keys.items() if not key.get_secret_value()]
    if missing:
        raise SettingsError(f"{service} wants to know who asks: set {' and '.join(missing)}, which come with {where}")


def _opening(
    service: str, base: str, authority: Authority, quotas: Sequence[Quota], make: Make, user_agent: str = ""
) -> Opening:
    """What opens listings of one service, all of them behind one gate."""
    gate = Gate()
    agent = user_agent or f"python:memewax:v{__version__}"

    def opening(name: str, clock: Clock, manners: Manners) -> tuple[Listing, Callable[[], None]]:
        web = ApiWeb(manners.seconds, agent)
        client = ApiClient(service, base, authority, quotas, gate=gate, web=web, clock=clock, manners=manners)
        return make(client, name), web.close

    return opening

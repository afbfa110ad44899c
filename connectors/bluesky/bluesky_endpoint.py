"""Bluesky's live stream as an endpoint: `bluesky:`, optionally with filters as in `bluesky:?lang=en&tag=memes`."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Final, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from connectors.bluesky.bluesky_frames import Filters
from connectors.endpoint import Endpoint, SourceOptions
from connectors.services.poll_settings import PollSettings
from connectors.sources.live_stream import LiveStream
from connectors.sources.source import PlacedSource
from core.errors import SettingsError
from core.settings import one_or_list

_FILTERS: Final = ("lang", "tag", "did", "without_label")
_KNOWN: Final = (*_FILTERS, "url", "cdn")
_MOST_DIDS: Final = 10_000


class BlueskySettings(PollSettings):
    """URLs of Bluesky's stream and images."""

    bluesky_urls: Annotated[tuple[str, ...], NoDecode] = Field(
        tuple(f"wss://jetstream{n}.us-{side}.bsky.network/subscribe" for side in ("east", "west") for n in (1, 2)),
        min_length=1,
        description="URLs of Bluesky's Jetstream servers, several as a JSON list; if one fails, the next is used.",
    )

    bluesky_cdn: str = Field(
        "https://cdn.bsky.app", pattern="^https?://.", description="URL of the CDN with Bluesky's images."
    )

    _listed_bluesky_urls = field_validator("bluesky_urls", mode="before")(one_or_list)


class Bluesky(Endpoint[BlueskySettings]):
    """New posts on Bluesky, of all accounts or of some."""

    reads = "bluesky:"
    is_followed: ClassVar[bool] = True
    lag_unit: ClassVar[str] = "posts"

    def __init__(self, address: str, options: Sequence[tuple[str, str]]) -> None:
        super().__init__(address)
        self._options = options

    @classmethod
    def of(cls, address: str) -> Self | None:
        """Parse an address; return None if it is not Bluesky's. Raises `SettingsError` for unknown options."""
        name, colon, rest = address.partition(":")
        if name != "bluesky" or not colon:
            return None
        before, _, query = rest.partition("?")
        if before.strip("/"):
            raise SettingsError(f"{address!r}: put options after a question mark, as in bluesky:?lang=en&tag=memes")
        options = parse_qsl(query, keep_blank_values=True)
        for option, value in options:
            if option not in _KNOWN or not value:
                raise SettingsError(
                    f"{address!r}: {option}={value} is not an option; expected one of {', '.join(_KNOWN)} with a value"
                )
            if option == "did" and not value.startswith("did:"):
                raise SettingsError(f"{address!r}: expected the DID of an account, as in did:plc:…, found {value!r}")
            if option == "url" and urlsplit(value).scheme not in {"ws", "wss"}:
                raise SettingsError(f"{address!r}: expected ws://… or wss://… as the server, found {value!r}")
            if option == "cdn" and urlsplit(value).scheme not in {"http", "https"}:
                raise SettingsError(f"{address!r}: expected http://… or https://… as the CDN, found {value!r}")
        if len([option for option, _ in options if option == "did"]) > _MOST_DIDS:
            raise SettingsError(f"bluesky: accepts at most {_MOST_DIDS:,} accounts")
        return cls(address, options)

    @property
    def image_hosts(self) -> tuple[str, ...]:
        """Return the image hosts that the address names."""
        return tuple(host for cdn in self._all("cdn") if (host := urlsplit(cdn).hostname))

    def source(self, options: SourceOptions, settings: BlueskySettings) -> PlacedSource:
        """Make a source of new posts, including those since the last run."""
        from connectors.bluesky.jetstream import Jetstream, Stream

        filters = Filters(
            langs=frozenset(it.lower() for it in self._all("lang")),
            tags=frozenset(it.lower().removeprefix("#") for it in self._all("tag")),
            dids=frozenset(self._all("did")),
            without_labels=frozenset(self._all("without_label")),
        )
        stream = Stream(
            urls=tuple(self._all("url")) or settings.bluesky_urls,
            cdn=(self._all("cdn") or [settings.bluesky_cdn])[-1].rstrip("/"),
            filters=filters,
            batch=options.batch,
            follow=options.follow,
            attempts=0 if options.follow else settings.poll_attempts,
            backoff=settings.poll_backoff_seconds,
            timeout=settings.poll_timeout_seconds,
        )
        wanted = urlencode(sorted((name, value) for name, value in self._options if name in _FILTERS))
        return LiveStream(f"bluesky:{wanted}", lambda clock, resume: Jetstream(stream, clock, resume).units())

    def _all(self, name: str) -> list[str]:
        return [value for option, value in self._options if option == name]

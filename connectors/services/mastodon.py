"""Mastodon's streaming API: posts of a server, or of all servers that it knows, as server-sent events.

The server replays nothing: posts made while the connection is down are lost. Such gaps are counted and logged.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Final, Self
from urllib.parse import parse_qsl, quote, unquote

import httpx
import orjson
from pydantic import BeforeValidator, Field, SecretStr

from connectors.deadlines import Deadlines
from connectors.endpoint import Endpoint, SourceOptions
from connectors.fetching.address_policy import AddressPolicy
from connectors.fetching.allow_settings import AllowSettings
from connectors.fetching.connecting import Connecting
from connectors.fetching.guarded_transport import GuardedTransport
from connectors.fetching.outcomes import FetchError, Outcome
from connectors.services.clock import Clock
from connectors.services.listing import PostBody
from connectors.services.markup import IMAGE_ENDING, read_html
from connectors.services.poll_settings import PollSettings
from connectors.sources.live_stream import LiveStream, seconds_to_reconnect
from connectors.sources.removal_form import delete_of_post
from connectors.sources.source import Live, PlacedSource, Position, Unit
from core import __version__
from core.bounded_dict import BoundedDict
from core.errors import SettingsError, WorldError
from core.records import Message
from core.telemetry import (
    SKIPPED,
    STREAM_GAP_SECONDS,
    STREAM_GAPS,
    STREAM_RECONNECTS,
    begin_stream,
    log,
    quieten_libraries,
)
from core.times import seconds_to_wait, time_or_none

SERVICE: Final = "mastodon"
_HEARTBEAT_SECONDS: Final = 60.0
"""A server sends something every 15 seconds; after a longer silence, reconnect."""
_MOST_LINE: Final = 2**20
"""Maximum length of a line, in bytes; the rest is ignored."""
_MARK_SECONDS: Final = 30.0
"""How often heartbeats alone advance the position, so that a quiet hour does not count as a gap."""
_REFUSED: Final = frozenset({401, 403})
_SEEN: Final = 5000
"""Number of recent posts to remember, to recognise duplicates and deletions."""


def _object(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


class MastodonSettings(PollSettings, AllowSettings):
    """Tokens for Mastodon servers."""

    mastodon_tokens: Annotated[dict[str, SecretStr], BeforeValidator(_object)] = Field(
        {},
        description='A token with read:statuses for each server, {"mastodon.social": "…"}; required for mastodon:SERVER.',
    )


class Mastodon(Endpoint[MastodonSettings]):
    """The public timeline of a server, its local posts, or a tag."""

    reads = "mastodon:SERVER"
    is_followed: ClassVar[bool] = True
    lag_unit: ClassVar[str] = "posts"

    def __init__(self, address: str, server: str, path: str, url: str) -> None:
        super().__init__(address)
        self._server, self._path, self._url = server, path, url

    @classmethod
    def of(cls, address: str) -> Self | None:
        """Parse an address; return None if it is not Mastodon's. Raises `SettingsError` if it names no stream."""
        name, colon, rest = address.partition(":")
        if name != SERVICE or not colon:
            return None
        place, _, query = rest.partition("?")
        server, _, what = place.strip("/").partition("/")
        options = dict(parse_qsl(query))
        kind, _, tag = what.partition("/")
        is_known = what in {"", "local"} or (kind == "tag" and tag and "/" not in tag)
        if not server or not is_known or set(options) - {"url"}:
            raise SettingsError(
                f"{address!r} is not mastodon:SERVER, mastodon:SERVER/local or mastodon:SERVER/tag/NAME"
            )
        path = f"hashtag?tag={quote(unquote(tag), safe='')}" if tag else "public/local" if what else "public"
        return cls(address, server.lower(), path, options.get("url", "").rstrip("/"))

    def source(self, options: SourceOptions, settings: MastodonSettings) -> PlacedSource:
        """Make a source of new posts; raises `SettingsError` if there is no token for the server."""
        token = settings.mastodon_tokens.get(self._server)
        if token is None:
            raise SettingsError(
                f"{self._server} needs a token: create an application in the settings of an account there, with "
                f'read:statuses, and set MEMEWAX_MASTODON_TOKENS to {{"{self._server}": "its token"}}'
            )
        stream = _Stream(
            server=self._server,
            path=self._path,
            url=self._url,
            token=token.get_secret_value(),
            attempts=0 if options.follow else settings.poll_attempts,
            backoff=settings.poll_backoff_seconds,
            timeout=settings.poll_timeout_seconds,
            allowed=AddressPolicy.of(settings.fetch_allow),
        )
        return LiveStream(
            f"{SERVICE}:{self._server}/{self._path}",
            lambda clock, resume: MastodonStream(stream, clock, resume).units(),
        )


@dataclass(frozen=True, slots=True)
class _Stream:
    server: str
    path: str
    url: str
    """URL of the streaming API; empty: ask the server."""
    token: str
    attempts: int
    backoff: float
    timeout: float
    allowed: AddressPolicy = field(default_factory=AddressPolicy)
    """Addresses besides the public web to which the server may refer for its streaming API (SSRF guard)."""


class MastodonStream:
    """Reads a stream until it is stopped; reconnects after failures."""

    def __init__(self, stream: _Stream, clock: Clock, resume: Position | None = None) -> None:
        quieten_libraries()
        begin_stream(SERVICE)
        self._stream = stream
        self._clock = clock
        self._last: float | None = resume["last"] if resume else None
        self._seen: BoundedDict[str, None] = BoundedDict(_SEEN, ((it, None) for it in resume["seen"]) if resume else ())
        self._names: BoundedDict[str, str] = BoundedDict(_SEEN, resume.get("names", ()) if resume else ())
        """`global_id` of recent posts by their id on this server, which is all that a delete event contains."""
        self._failed = 0

    def units(self) -> Iterator[Unit]:
        """Yield posts as they arrive; raises `WorldError` if the server refuses or fails too often."""
        timeout = httpx.Timeout(self._stream.timeout, read=_HEARTBEAT_SECONDS)
        headers = {"user-agent": f"memewax/{__version__}", "authorization": f"Bearer {self._stream.token}"}
        guard = GuardedTransport(Connecting(self._stream.allowed, Deadlines()), connections=1)
        with (
            httpx.Client(headers=headers, timeout=timeout) as client,
            httpx.Client(headers=headers, timeout=timeout, transport=guard) as elsewhere,
        ):
            while True:
                wait = 0.0
                try:
                    address = self._address(client)
                    asked = client if self._is_of_the_user(address) else elsewhere
                    with asked.stream("GET", address) as response:
                        self._check(response)
                        yield from self._read(response)
                    trouble = "the server closed the connection"
                except _BusyError as error:
                    trouble, wait = str(error), error.seconds
                except FetchError as error:
                    trouble = f"cannot reach the streaming URL that it names: {error}"
                    if error.outcome is Outcome.REFUSED:
                        raise WorldError(f"{self._stream.server}: {trouble}") from None
                except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
                    trouble = f"{type(error).__name__}: {error}"
                self._wait(trouble, wait)

    def _address(self, client: httpx.Client) -> str:
        base = self._stream.url
        if not base:
            base = f"https://{self._stream.server}"
            answer = client.get(f"{base}/api/v2/instance")
            metadata: Any = answer.json() if answer.status_code == 200 else {}
            for name in ("configuration", "urls", "streaming"):
                metadata = metadata.get(name) if isinstance(metadata, dict) else None
            base = str(metadata or base).replace("wss://", "https://", 1).rstrip("/")
        joint = "&" if "?" in self._stream.path else "?"
        return f"{base}/api/v1/streaming/{self._stream.path}{joint}only_media=true"

    def _is_of_the_user(self, address: str) -> bool:
        """Check whether the user chose the server of a URL; if not, the Mastodon server chose it."""
        return bool(self._stream.url) or httpx.URL(address).netloc.decode() == self._stream.server

    def _check(self, response: httpx.Response) -> None:
        """Raise an error if a response is not a stream."""
        if response.status_code == 200:
            return
        said = f"HTTP {response.status_code}"
        if response.status_code in _REFUSED:
            raise WorldError(f"{self._stream.server} rejects the token ({said}): check MEMEWAX_MASTODON_TOKENS")
        if response.status_code == 404:
            raise WorldError(f"{self._stream.server} has no such stream ({said}): check the address")
        raise _BusyError(said, seconds_to_wait(response.headers.get("retry-after"), self._clock.now()) or 0.0)

    def _read(self, response: httpx.Response) -> Iterator[Unit]:
        """Yield the posts of one connection."""
        event, data = "", ""
        marked = self._clock.now()
        for line in lines_of(response.iter_bytes()):
            self._clock.sleep(0)  # raises StoppedError if the flow stops
            self._report_gap()
            self._failed = 0
            messages: list[Message] = []
            name, _, value = line.partition(":")
            if name == "event":
                event = value.strip()
            elif name == "data" and len(data) + len(value) <= _MOST_LINE:
                data += value.removeprefix(" ")
            elif not line:
                messages = self._messages(event, data)
                event, data = "", ""
            now = self._clock.now()
            if messages or now - marked > _MARK_SECONDS:
                marked = now
                yield Unit(messages, self._position(), live=Live(SERVICE, now))

    def _position(self) -> Position:
        names = tuple(self._names.items())
        return {"version": 1, "last": self._last, "seen": tuple(self._seen), "names": names}

    def _messages(self, event: str, data: str) -> list[Message]:
        if event == "delete":
            return self._delete(data.strip())
        if event not in {"update", "status.update"}:
            return []
        try:
            status = orjson.loads(data)
            found = posts_of_status(status, self._stream.server)
            name = f"{status['uri']}-mastodon"
            if not isinstance(found, str):  # a post without images was not stored
                self._names[str(status["id"])] = name
        except (KeyError, TypeError, AttributeError, ValueError):
            SKIPPED.labels(SERVICE, "garbage").inc()
            return []
        if isinstance(found, str) and event == "update":
            SKIPPED.labels(SERVICE, found).inc()
            return []
        posts = [] if isinstance(found, str) else found
        key = f"{name} {status.get('edited_at') or ''}"
        if key in self._seen:
            return []
        self._seen[key] = None
        gone = []
        if event == "status.update" or status.get("edited_at"):
            gone = [delete_of_post(name, self._said_now(status.get("edited_at")), [it["global_id"] for it in posts])]
        return [self._message(it, name) for it in (*gone, *posts)]

    def _delete(self, number: str) -> list[Message]:
        """Return the removal of a recent post; the `global_id` of earlier posts is not known from their id."""
        name = self._names.get(number)
        if name is None:
            SKIPPED.labels(SERVICE, "delete of an unknown post").inc()
            return []
        return [self._message(delete_of_post(name, self._said_now(None)), name)]

    def _said_now(self, time: str | None) -> str:
        return time or datetime.fromtimestamp(self._clock.now(), UTC).isoformat()

    def _message(self, body: PostBody, name: str) -> Message:
        key = str(body.get("global_id") or name)
        return Message(orjson.dumps(body), f"{SERVICE}:{self._stream.server}@{key}", key.encode())

    def _report_gap(self) -> None:
        """Count and log the time without a connection, if it was a gap."""
        now = self._clock.now()
        before, self._last = self._last, now
        if before is not None and now - before > _HEARTBEAT_SECONDS:
            STREAM_GAPS.labels(SERVICE).inc()
            STREAM_GAP_SECONDS.labels(SERVICE).inc(now - before)
            log.warning(
                "gap in the stream: posts made in it are lost", source=self._stream.server, seconds=round(now - before)
            )

    def _wait(self, trouble: str, seconds: float) -> None:
        STREAM_RECONNECTS.labels(SERVICE).inc()
        self._failed += 1
        if self._stream.attempts and self._failed >= self._stream.attempts:
            raise WorldError(f"{self._stream.server} does not answer ({trouble}): try again later")
        seconds = max(seconds, seconds_to_reconnect(self._failed, self._stream.backoff))
        log.warning("reconnecting", source=self._stream.server, trouble=trouble, seconds=round(seconds, 1))
        self._clock.sleep(seconds)


class _BusyError(Exception):
    """The server is busy and asks to retry later."""

    def __init__(self, status: str, seconds: float) -> None:
        super().__init__(status)
        self.seconds = seconds


def _is_image(media: Mapping[str, Any]) -> bool:
    """Check whether an attachment is an image; a server knows no type of remote media that it has not fetched."""
    if media.get("type") != "unknown":
        return bool(media.get("type") == "image")
    return IMAGE_ENDING.search(str(media.get("remote_url") or "").partition("?")[0]) is not None


def lines_of(chunks: Iterable[bytes]) -> Iterator[str]:
    """Split a stream of UTF-8 chunks into lines; overlong lines are cut.

    `httpx` would also split at U+0085 and U+2028 within a text, and buffer a line that never ends.
    """
    held = bytearray()
    for chunk in chunks:
        *whole, rest = chunk.split(b"\n")
        for piece in whole:
            held += piece[: _MOST_LINE - len(held)]
            yield held.decode(errors="replace").removesuffix("\r")
            held.clear()
        held += rest[: _MOST_LINE - len(held)]


def posts_of_status(status: Mapping[str, Any], server: str) -> list[PostBody] | str:
    """Return a post for each image of a status, or the reason why there is none; raises if it is not a status.

    Args:
        status: A status as the API returns it.
        server: The server it comes from, which completes the names of local accounts.
    """
    if status.get("reblog"):
        return "other"  # the original arrives by itself
    media = status["media_attachments"]
    images = [(number, it) for number, it in enumerate(media, 1) if _is_image(it)]
    if not images:
        return "video" if media else "text"
    name = status["uri"]
    account = str(status["account"]["acct"])
    text = "\n".join(filter(None, (status.get("spoiler_text"), read_html(status.get("content") or "").text)))
    created = time_or_none(status.get("created_at"))
    common = {
        "author": account if "@" in account else f"{account}@{server}",
        "created_time": created.isoformat() if created else "",
        "score": int(status.get("favourites_count") or 0),
        "source": SERVICE,
        "post_id": f"{name}-mastodon",
        "permalink": status.get("url") or name,
        "nsfw": bool(status.get("sensitive")),
        "langs": [status["language"]] if status.get("language") else [],
        "tags": [it["name"] for it in status.get("tags") or ()],
        **({"edited": status["edited_at"]} if status.get("edited_at") else {}),
    }
    alone = len(media) == 1
    return [
        {
            "global_id": f"{name}-mastodon" if alone else f"{name}_{number}-mastodon",
            "url": it.get("url") or it.get("remote_url") or "",
            "desc": "\n".join(filter(None, (text, it.get("description")))),
            **common,
            **({"alt": it["description"]} if it.get("description") else {}),
        }
        for number, it in images
    ]

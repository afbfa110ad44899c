"""Reads Jetstream: goes on by time after whatever happened, over any of its servers, and hands out nothing twice.

A server sends each frame at least once and keeps 36 hours; an older cursor is moved up without a word. So whoever comes
back asks for a minute more than was missed, drops what is known, and looks whether the first frame leaves a gap.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import cycle
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import orjson
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, reconnect

from connectors.bluesky.bluesky_frames import COLLECTION, BadFrameError, Filters, Frame, read_frame
from connectors.services.clock import Clock
from connectors.sources.live_stream import seconds_to_reconnect
from connectors.sources.source import Live, Position, Unit, check_version
from core import __version__
from core.errors import WorldError
from core.records import Message
from core.telemetry import SKIPPED, STREAM_GAP_SECONDS, STREAM_GAPS, STREAM_RECONNECTS, begin_stream, log
from core.times import seconds_to_wait

SERVICE: Final = "bluesky"
_VERSION: Final = 1
_SECOND: Final = 1_000_000
OVERLAP_SECONDS: Final = 60
"""What is asked for again after a break: servers see a frame at different times, and in another order."""
_KEPT_SECONDS: Final = 2 * OVERLAP_SECONDS
"""For so long a frame is known again."""
_SLACK_SECONDS: Final = 5
"""A silence that is no gap: some 25 frames come each second."""
_AHEAD_SECONDS: Final = 24 * 3600
"""A frame that is further ahead of this machine's clock is none: it would be gone on from a time that has not come."""
_REPLAY_SECONDS: Final = 36 * 3600
_WAIT_SECONDS: Final = 0.25
"""Posts wait so long for others to go through the flow with."""
_MARK_SECONDS: Final = 5.0
"""Where nothing but other frames comes, the position moves on so often."""
_QUIET_SECONDS: Final = 60.0
"""A connection on which nothing comes for so long is given up, unless few authors are followed."""
_MOST_BYTES: Final = 16 * 2**20
"""Of one frame. The server is not asked to leave out longer ones: it would leave out deletes with them."""
_MOST_IN_URL: Final = 50
"""Accounts; more are sent when the connection is there, for a server takes no address of any length."""
_MOST_MESSAGES: Final = 512
"""Of a unit."""
_KEY: Final = 8
_ENTRY: Final = 2 * _KEY


@dataclass(frozen=True, slots=True)
class Stream:
    """What is read, and how."""

    urls: Sequence[str]
    """Of servers; the next one is asked where one fails."""
    cdn: str
    filters: Filters
    batch: int
    follow: bool
    """Whether it goes on for ever; else it ends when it has come to the time at which it began."""
    attempts: int
    """That may fail in a row; 0: as many as it takes."""
    backoff: float
    timeout: float
    """Seconds for a connection to be there."""


class Jetstream:
    """Reads a stream from where it was left.

    Args:
        stream: What is read.
        clock: Waits, and tells the time.
        resume: Where it was left; None begins with what comes now.
        open_: Opens a connection.
    """

    def __init__(
        self,
        stream: Stream,
        clock: Clock,
        resume: Position | None = None,
        open_: "Callable[[str, float], ClientConnection] | None" = None,
    ) -> None:
        self._stream = stream
        self._clock = clock
        self._open = open_ or _opened
        self._newest = 0
        self._seen: set[bytes] = set()
        self._order: deque[tuple[int, bytes]] = deque()
        self._changed: dict[bytes, tuple[int, str]] = {}
        """Of posts that were deleted or edited: when, and the revision."""
        if resume is not None:
            self._go_on(resume)
        self._messages: list[Message] = []
        self._posts = 0
        """Of the messages: a unit is full when it has enough of them, whatever is taken back beside them."""
        self._marked = 0.0
        self._asked_from = 0
        """The time that was the newest when this connection was asked for, while its first frame has not come."""
        self._until = clock.now()
        self._failed = 0
        begin_stream(SERVICE)

    def units(self) -> Iterator[Unit]:
        """Posts, as they come; raises `WorldError` where no server answers and nobody has time."""
        for url in cycle(self._stream.urls):
            try:
                with self._open(self._address(url), self._stream.timeout) as connection:
                    self._asked_from = self._newest
                    self._name_accounts(connection)
                    yield from self._read(connection)
                    return
            except (OSError, WebSocketException, TimeoutError) as error:
                if self._messages:
                    yield self._unit()
                self._wait(url, error)

    def _read(self, connection: ClientConnection) -> Iterator[Unit]:
        """What comes over one connection; ends where the stream is read to its end. Raises where it breaks."""
        last = begun = self._marked = self._clock.now()
        while True:
            try:
                data = connection.recv(timeout=_WAIT_SECONDS)
            except TimeoutError:
                if self._messages:
                    yield self._unit()
                self._clock.sleep(0)  # ends here where the flow does
                now = self._clock.now()
                if not self._stream.follow and now - begun > _SLACK_SECONDS:
                    return
                if now - last > _QUIET_SECONDS and not self._stream.filters.dids:
                    raise
                continue
            last = self._clock.now()
            self._take(data)
            is_over = not self._stream.follow and self._newest >= self._until * _SECOND
            if (
                self._posts >= self._stream.batch
                or len(self._messages) >= _MOST_MESSAGES
                or (self._messages and is_over)
                or last - self._marked > _MARK_SECONDS
            ):
                yield self._unit()
            if is_over:
                return

    def _take(self, data: str | bytes) -> None:
        try:
            frame = self._frame(data)
        except BadFrameError as error:
            SKIPPED.labels(SERVICE, "garbage").inc()
            log.debug("a frame that is none", source=SERVICE, wrong=str(error))
            return
        self._failed = 0
        self._look_for_gap(frame.time_us)
        is_later = frame.time_us > self._newest
        self._newest = max(self._newest, frame.time_us)
        if frame.key and not self._is_new(frame):
            return
        if frame.reason is not None and (frame.key or is_later):
            SKIPPED.labels(SERVICE, frame.reason).inc()
        self._posts += len(frame.posts)
        for body in (*frame.removals, *frame.posts):
            name = str(body.get("global_id") or body.get("post_id") or body["author"])
            content = f"{SERVICE}:{body['cid']}" if body.get("cid") else ""
            origin = f"{SERVICE}@{frame.time_us}/{name}"
            self._messages.append(Message(orjson.dumps(body), origin, name.encode(), content=content))

    def _frame(self, data: str | bytes) -> Frame:
        """The frame in a message; raises `BadFrameError` where it is none."""
        frame = read_frame(data, self._stream.filters, self._stream.cdn)
        if frame.time_us > (self._clock.now() + _AHEAD_SECONDS) * _SECOND:
            raise BadFrameError(f"its time has not come: {frame.time_us}")
        return frame

    def _is_new(self, frame: Frame) -> bool:
        """Whether a frame comes for the first time, and no later delete or edit of its post came before it."""
        if self._knows(frame.key):
            return False
        post = _digest(frame.post)
        _, changed = self._changed.get(post, (0, ""))
        if not frame.deleted and frame.revision < changed:
            return False
        digests = [_digest(frame.key)]
        if frame.deleted or frame.is_edit:
            self._changed[post] = frame.time_us, max(frame.revision, changed)
            digests.append(post)
        for digest in digests:
            self._seen.add(digest)
            self._order.append((frame.time_us, digest))
        while self._order and self._order[0][0] < self._newest - _KEPT_SECONDS * _SECOND:
            time_us, digest = self._order.popleft()
            self._seen.discard(digest)
            if self._changed.get(digest, (time_us + 1, ""))[0] <= time_us:
                del self._changed[digest]
        return True

    def _knows(self, key: str) -> bool:
        return _digest(key) in self._seen

    def _look_for_gap(self, time_us: int) -> None:
        """Say what is missing between what was read and the first frame of a connection."""
        before, self._asked_from = self._asked_from, 0
        if not before:
            return
        missing = (time_us - before) / _SECOND
        may_be_silent = bool(self._stream.filters.dids) and missing < _REPLAY_SECONDS
        if missing <= _SLACK_SECONDS or may_be_silent:
            return
        STREAM_GAPS.labels(SERVICE).inc()
        STREAM_GAP_SECONDS.labels(SERVICE).inc(missing)
        log.warning(
            "a gap: what was posted in it is not read, the server does not have it any more",
            source=SERVICE,
            seconds=round(missing),
            begin=before,
            end=time_us,
        )

    def _unit(self) -> Unit:
        messages, self._messages, self._posts = self._messages, [], 0
        self._marked = self._clock.now()
        return Unit(messages, self._position(), live=Live(SERVICE, self._newest / _SECOND))

    def _position(self) -> Position:
        seen = b"".join(time.to_bytes(_KEY, "big", signed=True) + digest for time, digest in self._order)
        return {"version": _VERSION, "time_us": self._newest, "seen": seen, "changed": dict(self._changed)}

    def _go_on(self, resume: Position) -> None:
        check_version(resume, _VERSION, f"read of {SERVICE}")
        self._newest = resume["time_us"]
        seen: bytes = resume["seen"]
        self._changed = dict(resume.get("changed", {}))
        for at in range(0, len(seen), _ENTRY):
            digest = seen[at + _KEY : at + _ENTRY]
            self._order.append((int.from_bytes(seen[at : at + _KEY], "big", signed=True), digest))
            self._seen.add(digest)

    def _address(self, url: str) -> str:
        parts = urlsplit(url)
        query = [*parse_qsl(parts.query), ("wantedCollections", COLLECTION)]
        dids = sorted(self._stream.filters.dids)
        query += [("wantedDids", did) for did in (dids if len(dids) <= _MOST_IN_URL else ())]
        if self._newest:
            query.append(("cursor", str(self._newest - OVERLAP_SECONDS * _SECOND)))
        return urlunsplit(parts._replace(query=urlencode(query)))

    def _name_accounts(self, connection: ClientConnection) -> None:
        """Send the accounts that are too many for an address; until it is read, others come and are left out here."""
        dids = sorted(self._stream.filters.dids)
        if len(dids) > _MOST_IN_URL:
            wanted = {"wantedCollections": [COLLECTION], "wantedDids": dids}
            connection.send(orjson.dumps({"type": "options_update", "payload": wanted}).decode())

    def _wait(self, url: str, error: Exception) -> None:
        """Wait before the next server is asked; raises `WorldError` where that was often enough."""
        STREAM_RECONNECTS.labels(SERVICE).inc()
        host = urlsplit(url).netloc
        told = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        self._failed += 1
        if self._stream.attempts and self._failed >= self._stream.attempts:
            raise WorldError(f"{SERVICE}: no server answers, the last was {host} ({told}): try again later")
        seconds = seconds_to_reconnect(self._failed, self._stream.backoff)
        if isinstance(error, InvalidStatus):
            seconds = max(seconds, seconds_to_wait(error.response.headers.get("Retry-After"), self._clock.now()) or 0)
        say = log.info if isinstance(error, ConnectionClosed) and self._failed == 1 else log.warning
        say("asking another server", source=SERVICE, server=host, trouble=told, seconds=round(seconds, 1))
        self._clock.sleep(seconds)


class _Connect(reconnect):
    """Follows no redirect: the servers are those that the user named."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


def _opened(url: str, seconds: float) -> ClientConnection:
    connecting = _Connect(
        url,
        open_timeout=seconds,
        close_timeout=1,
        ping_interval=20,
        ping_timeout=60,  # of a flow that is busy the answer waits behind frames
        max_size=_MOST_BYTES,
        user_agent_header=f"memewax/{__version__}",
    )
    return connecting.connect()


def _digest(key: str) -> bytes:
    return blake2b(key.encode(), digest_size=_KEY).digest()

"""Reader of Jetstream: resumes by time on any server after any interruption, and drops duplicates.

Delivery is at least once. A server keeps 36 hours of frames and silently moves an older cursor forward. So after an
interruption, the reader requests a minute more than it missed, drops the frames that it knows, and checks whether the
first frame leaves a gap.
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
"""Overlap when resuming: servers see frames at different times and in different order."""
_KEPT_SECONDS: Final = 2 * OVERLAP_SECONDS
"""How long frames are remembered for deduplication."""
_SLACK_SECONDS: Final = 5
"""A longer silence is a gap, since about 25 frames arrive per second."""
_AHEAD_SECONDS: Final = 24 * 3600
"""A frame further ahead of this machine's clock is invalid: the cursor would move into the future."""
_REPLAY_SECONDS: Final = 36 * 3600
_WAIT_SECONDS: Final = 0.25
"""How long posts wait for others, to form a batch."""
_MARK_SECONDS: Final = 5.0
"""How often frames without posts advance the position."""
_QUIET_SECONDS: Final = 60.0
"""A connection that is silent for longer is closed, unless the stream is limited to some accounts."""
_MOST_BYTES: Final = 16 * 2**20
"""Maximum size of a frame. The server's own limit is not used, since it also drops deletions."""
_MOST_IN_URL: Final = 50
"""Maximum number of accounts in a URL, whose length servers limit; more are sent once connected."""
_MOST_MESSAGES: Final = 512
"""Maximum number of messages in a unit."""
_KEY: Final = 8
_ENTRY: Final = 2 * _KEY


@dataclass(frozen=True, slots=True)
class Stream:
    """What to read, and how."""

    urls: Sequence[str]
    """URLs of servers; if one fails, the next is used."""
    cdn: str
    filters: Filters
    batch: int
    follow: bool
    """Whether to read for ever; otherwise reading ends at the time at which it began."""
    attempts: int
    """Maximum number of consecutive failures; 0: unlimited."""
    backoff: float
    timeout: float
    """Seconds to establish a connection."""


class Jetstream:
    """Reads a stream from a position.

    Args:
        stream: What to read.
        clock: Gives the time, and sleeps.
        resume: Position of the last run; None starts now.
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
        """Time and revision of recent deletions and edits, by digest of the post."""
        if resume is not None:
            self._restore(resume)
        self._messages: list[Message] = []
        self._posts = 0
        """Number of posts among the messages; removals do not count towards the batch size."""
        self._marked = 0.0
        self._asked_from = 0
        """Newest time before this connection was opened; 0 after its first frame."""
        self._until = clock.now()
        self._failed = 0
        begin_stream(SERVICE)

    def units(self) -> Iterator[Unit]:
        """Yield posts as they arrive; raises `WorldError` after too many failures."""
        for url in cycle(self._stream.urls):
            try:
                with self._open(self._address(url), self._stream.timeout) as connection:
                    self._asked_from = self._newest
                    self._send_accounts(connection)
                    yield from self._read(connection)
                    return
            except (OSError, WebSocketException, TimeoutError) as error:
                if self._messages:
                    yield self._unit()
                self._wait(url, error)

    def _read(self, connection: ClientConnection) -> Iterator[Unit]:
        """Yield the posts of one connection until the stream is read to its end; raises an error if it breaks."""
        last = begun = self._marked = self._clock.now()
        while True:
            try:
                data = connection.recv(timeout=_WAIT_SECONDS)
            except TimeoutError:
                if self._messages:
                    yield self._unit()
                self._clock.sleep(0)  # raises StoppedError if the flow stops
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
            log.debug("invalid frame", source=SERVICE, wrong=str(error))
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
        """Parse a frame; raises `BadFrameError` if it is invalid."""
        frame = read_frame(data, self._stream.filters, self._stream.cdn)
        if frame.time_us > (self._clock.now() + _AHEAD_SECONDS) * _SECOND:
            raise BadFrameError(f"its time is in the future: {frame.time_us}")
        return frame

    def _is_new(self, frame: Frame) -> bool:
        """Check that a frame is not a duplicate, and that no later deletion or edit of its post arrived before it."""
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
        """Count and log a gap between the last frame and the first one of this connection."""
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
            "gap in the stream: posts made in it are lost, the server no longer has them",
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

    def _restore(self, resume: Position) -> None:
        check_version(resume, _VERSION, f"the position of {SERVICE}")
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

    def _send_accounts(self, connection: ClientConnection) -> None:
        """Send accounts that are too many for the URL; until then, posts of others arrive and are dropped."""
        dids = sorted(self._stream.filters.dids)
        if len(dids) > _MOST_IN_URL:
            wanted = {"wantedCollections": [COLLECTION], "wantedDids": dids}
            connection.send(orjson.dumps({"type": "options_update", "payload": wanted}).decode())

    def _wait(self, url: str, error: Exception) -> None:
        """Wait before trying the next server; raises `WorldError` after too many failures."""
        STREAM_RECONNECTS.labels(SERVICE).inc()
        host = urlsplit(url).netloc
        trouble = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        self._failed += 1
        if self._stream.attempts and self._failed >= self._stream.attempts:
            raise WorldError(f"{SERVICE}: no server responds, the last was {host} ({trouble}): try again later")
        seconds = seconds_to_reconnect(self._failed, self._stream.backoff)
        if isinstance(error, InvalidStatus):
            seconds = max(seconds, seconds_to_wait(error.response.headers.get("Retry-After"), self._clock.now()) or 0)
        report = log.info if isinstance(error, ConnectionClosed) and self._failed == 1 else log.warning
        seconds = round(seconds, 1)
        report("reconnecting to the next server", source=SERVICE, server=host, trouble=trouble, seconds=seconds)
        self._clock.sleep(seconds)


class _Connect(reconnect):
    """Does not follow redirects: only servers that the user named are used."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


def _opened(url: str, seconds: float) -> ClientConnection:
    connecting = _Connect(
        url,
        open_timeout=seconds,
        close_timeout=1,
        ping_interval=20,
        ping_timeout=60,  # a busy flow reads the pong only after queued frames
        max_size=_MOST_BYTES,
        user_agent_header=f"memewax/{__version__}",
    )
    return connecting.connect()


def _digest(key: str) -> bytes:
    return blake2b(key.encode(), digest_size=_KEY).digest()

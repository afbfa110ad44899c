"""Live updates as server-sent events."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from threading import Event
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from core.errors import WorldError
from memewax.page.page_views import PageViews

_EVENT_SECONDS: Final = 1.0
_STREAM_SECONDS: Final = 600.0
"""Maximum length of a stream; then the browser reconnects."""
_STREAMS: Final = 32
_STREAMS_A_CLIENT: Final = 4


class LiveEvents:
    """Streams parts of the view "Now": rendered once for all visitors, and sent when they change."""

    def __init__(self, views: PageViews, ending: Event) -> None:
        self._views = views
        self._ending = ending
        self._open: Counter[str] = Counter()
        self._parts: dict[str, str] = {}
        self._rendered = 0.0
        self._lock = asyncio.Lock()

    async def answer(self, request: Request) -> Response:
        """Return a stream of events; 503 if too many are open."""
        client = request.client.host if request.client else ""
        if self._open.total() >= _STREAMS or self._open[client] >= _STREAMS_A_CLIENT:
            return PlainTextResponse("too many open windows of this page: close one\n", 503, {"Retry-After": "10"})
        return StreamingResponse(self._stream(client), media_type="text/event-stream")

    async def _stream(self, client: str) -> AsyncIterator[bytes]:
        self._open[client] += 1
        sent: dict[str, str] = {}
        end = time.monotonic() + _STREAM_SECONDS
        try:
            yield b"retry: 3000\n\n"
            while time.monotonic() < end and not self._ending.is_set():
                with suppress(WorldError):  # the store may be readable again in a second
                    for name, html in (await self._now()).items():
                        if sent.get(name) != html:
                            sent[name] = html
                            lines = "".join(f"data: {line}\n" for line in html.splitlines())
                            yield f"event: {name}\n{lines}\n".encode()
                yield b": still here\n\n"
                await asyncio.sleep(_EVENT_SECONDS)
        finally:
            self._open[client] -= 1
            if not self._open[client]:
                del self._open[client]

    async def _now(self) -> dict[str, str]:
        async with self._lock:
            if time.monotonic() - self._rendered >= _EVENT_SECONDS / 2:
                self._parts = await run_in_threadpool(self._views.live)
                self._rendered = time.monotonic()
            return self._parts

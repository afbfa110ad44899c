"""A slow HTTP server of one image, for a separate process: `python -m memewax.bench.image_server LATENCY_SECONDS`.

It prints its port, and exits when its stdin is closed. `/most` returns the maximum number of concurrent requests since
the last call; every other path returns the image.
"""

import asyncio
import sys
from io import BytesIO
from typing import Final

import numpy as np
from PIL import Image

_SIDE: Final = 320


class Server:
    """HTTP server that answers each request after `latency` seconds, over keep-alive connections."""

    def __init__(self, latency: float) -> None:
        self._latency = latency
        self._image = image()
        self._now = self._most = 0

    async def run(self) -> None:
        """Serve until stdin is closed."""
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0, backlog=1024)
        async with server:
            print(server.sockets[0].getsockname()[1], flush=True)
            await asyncio.to_thread(sys.stdin.read)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                body = self._take_most() if head.startswith(b"GET /most ") else await self._slowly()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):  # the client has disconnected
            writer.close()

    async def _slowly(self) -> bytes:
        self._now += 1
        self._most = max(self._most, self._now)
        await asyncio.sleep(self._latency)
        self._now -= 1
        return self._image

    def _take_most(self) -> bytes:
        most, self._most = self._most, 0
        return b"%d" % most


def image() -> bytes:
    """Return a JPEG that compresses like a photograph: smooth noise from a fixed seed."""
    noise = np.random.default_rng(1).integers(0, 256, (_SIDE // 8, _SIDE // 8, 3), dtype=np.uint8)
    out = BytesIO()
    Image.fromarray(noise).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC).save(out, "JPEG")
    return out.getvalue()


if __name__ == "__main__":
    asyncio.run(Server(float(sys.argv[1])).run())

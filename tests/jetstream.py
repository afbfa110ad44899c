"""Jetstream on this machine: a server that plays it, with faults."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import orjson
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

START: Final = 1_783_175_888_000_000
"""Microseconds since 1970."""
Json = dict[str, Any]


def image(cid: str, alt: str = "") -> Json:
    return {"alt": alt, "image": {"$type": "blob", "ref": {"$link": cid}, "mimeType": "image/jpeg", "size": 1}}


def images(*cids: str) -> Json:
    return {"$type": "app.bsky.embed.images", "images": [image(cid) for cid in cids]}


def commit(
    number: int, operation: str = "create", seconds: float | None = None, did: str = "did:plc:a", **record: Any
) -> Json:
    """A frame of the post with that number; without more, one with an image."""
    found: Json = {
        "rev": f"r{number:04}{('create', 'update', 'delete').index(operation)}",
        "operation": operation,
        "collection": "app.bsky.feed.post",
        "rkey": f"p{number}",
    }
    if operation != "delete":
        usual = {
            "$type": "app.bsky.feed.post",
            "text": f"No {number}",
            "createdAt": "1999-01-01T00:00:00Z",
            "embed": images(f"bafk{number}"),
        }
        found |= {"cid": f"c{number}{operation}", "record": usual | record}
    time_us = START + int((number if seconds is None else seconds) * 1_000_000)
    return {"did": did, "time_us": time_us, "kind": "commit", "commit": found}


def account(did: str, seconds: float, **fields: Any) -> Json:
    return {
        "did": did,
        "time_us": START + int(seconds * 1e6),
        "kind": "account",
        "account": {"did": did, "time": str(seconds), **fields},
    }


Play = Callable[[Sequence[Json]], Sequence[Json | str | bytes]]
"""What a connection sends of the frames that are asked of it."""


@dataclass
class FakeJetstream:
    """What the server holds, what was asked of it, and what is to go wrong."""

    frames: list[Json] = field(default_factory=list)
    oldest: int = 0
    """Microseconds before which it has nothing."""
    plays: list[Play] = field(default_factory=list)
    """Of the next connections, one each: what each sends before it hangs up."""
    asked: list[dict[str, list[str]]] = field(default_factory=list)
    told: list[str | bytes] = field(default_factory=list)
    """What was sent to it."""
    url: str = ""

    def handle(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        query = parse_qs(urlsplit(connection.request.path).query)
        self.asked.append(query)
        cursor = max(int(query.get("cursor", ["0"])[0]), self.oldest)
        kept = [frame for frame in self.frames if frame["time_us"] >= cursor]
        try:
            if self.plays:
                self._send(connection, self.plays.pop(0)(kept))
                connection.close()
                return
            self._send(connection, kept)
            sent = len(self.frames)
            while True:
                self._send(connection, self.frames[sent:])
                sent = len(self.frames)
                with suppress(TimeoutError):
                    self.told.append(connection.recv(timeout=0.01))
        except ConnectionClosed:
            return

    def _send(self, connection: ServerConnection, frames: Sequence[Json | str | bytes]) -> None:
        for it in frames:
            connection.send(orjson.dumps(it).decode() if isinstance(it, dict) else it)


@contextmanager
def jetstream() -> Iterator[FakeJetstream]:
    """A server for as long as the block lasts."""
    fake = FakeJetstream()
    with serve(fake.handle, "127.0.0.1", 0, ping_interval=None, close_timeout=0.1) as server:
        fake.url = f"ws://127.0.0.1:{server.socket.getsockname()[1]}/subscribe"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield fake

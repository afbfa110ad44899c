"""A web server on this machine: images by the number in an address, and a list of what was asked for."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from tests.web_server import serving


@dataclass
class Images:
    """What the server has: an image for each number in an address, and whatever pages it is given."""

    url: str = ""
    pages: dict[str, bytes] = field(default_factory=dict)
    images: list[bytes] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def body(self, path: str) -> bytes:
        for beginning, page in self.pages.items():
            if path.startswith(beginning):
                return page
        return self.images[int(re.findall(r"(\d+)", path.rpartition("/")[2])[0])]


@contextmanager
def served(images: list[bytes]) -> Iterator[Images]:
    """A server for as long as the block lasts."""
    made = Images(images=images)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append(self.path)
            body = made.body(self.path)
            self.send_response(200)
            kind = "image/png" if body.startswith(b"\x89PNG") else "application/xml"
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with serving(Handler) as made.url:
        yield made

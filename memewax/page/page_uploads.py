"""Uploaded images: limited in size, time and number, held only in memory, and never stored."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.exceptions import HTTPException
from starlette.requests import Request

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_AT_ONCE: Final = 2
"""Maximum concurrent uploads."""
_SECONDS: Final = 30.0
"""Seconds for an image to arrive."""
_WAIT_SECONDS: Final = 10.0
"""Seconds to wait for earlier uploads; the body is not read meanwhile."""
_FORM_BYTES: Final = 16 * 1024
"""Maximum bytes of a form beyond its image."""
_PARTS: Final = 16
_IMAGE_FIELDS: Final = frozenset({"image", "picture"})
"""Names of a form's field of the image; the second is that of earlier versions."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A parsed upload."""

    image: bytes
    """Bytes of an image file, not validated; empty if none was chosen."""
    fields: Mapping[str, str]
    """The other fields of the form."""


class Uploads:
    """Receives uploaded images, a few at a time.

    Args:
        most_bytes: Maximum size of an image.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._semaphore = asyncio.Semaphore(_AT_ONCE)

    @asynccontextmanager
    async def receive(self, request: Request) -> AsyncIterator[Upload]:
        """Receive the image of a request and hold it for the block; raises `HTTPException` with the reason."""
        kind, options = parse_options_header(request.headers.get("content-type"))
        is_form = kind == b"multipart/form-data"
        if not is_form and not kind.startswith(b"image/") and kind != b"application/octet-stream":
            raise HTTPException(415, "expected an image, as image/… or as the field image of multipart/form-data")
        try:
            await asyncio.wait_for(self._semaphore.acquire(), _WAIT_SECONDS)
        except TimeoutError:
            raise HTTPException(503, "other searches by image are running: try again in a second") from None
        try:
            try:
                body = await asyncio.wait_for(self._body(request, self._most + is_form * _FORM_BYTES), _SECONDS)
            except TimeoutError:
                raise HTTPException(408, f"the image did not arrive within {_SECONDS:g} seconds") from None
            if is_form:
                yield await asyncio.to_thread(_form, body, options.get(b"boundary", b""))
            else:
                yield Upload(body, {})
        finally:
            self._semaphore.release()

    async def _body(self, request: Request, most: int) -> bytes:
        reason = f"the image is too large: expected at most {self._most:,} bytes"
        length = request.headers.get("content-length", "")
        if length.isdigit() and int(length[:20]) > most:
            raise HTTPException(413, reason)
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > most:
                raise HTTPException(413, reason)
        return bytes(body)


def _form(body: bytes, boundary: bytes) -> Upload:
    """Parse the image and the fields of a multipart form; raises `HTTPException` if it is invalid."""
    parts: list[tuple[str, bytearray]] = []
    headers: dict[bytes, bytes] = {}
    header = [b"", b""]

    def begin() -> None:
        if len(parts) >= _PARTS:
            raise HTTPException(400, f"the form has too many fields: expected at most {_PARTS}")
        headers.clear()

    def name(data: bytes, start: int, end: int) -> None:
        header[0] += data[start:end]

    def value(data: bytes, start: int, end: int) -> None:
        header[1] += data[start:end]

    def header_end() -> None:
        headers[header[0].lower()] = header[1]
        header[:] = b"", b""

    def headed() -> None:
        _, options = parse_options_header(headers.get(b"content-disposition"))
        parts.append((options.get(b"name", b"").decode(errors="replace"), bytearray()))

    def content(data: bytes, start: int, end: int) -> None:
        parts[-1][1].extend(memoryview(data)[start:end])

    callbacks: MultipartCallbacks = {
        "on_part_begin": begin,
        "on_header_field": name,
        "on_header_value": value,
        "on_header_end": header_end,
        "on_headers_finished": headed,
        "on_part_data": content,
    }
    try:
        parser = MultipartParser(boundary, callbacks)
        parser.write(body)
        parser.finalize()
    except (FormParserError, ValueError):
        raise HTTPException(400, "the form cannot be parsed: expected multipart/form-data") from None
    image = next((bytes(data) for name, data in parts if name in _IMAGE_FIELDS), b"")
    fields = {name: data.decode(errors="replace") for name, data in parts if name not in _IMAGE_FIELDS}
    return Upload(image, fields)

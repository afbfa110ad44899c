"""What a server's answer says: its headers, its packing, when to come again."""

import zlib
from collections.abc import Iterable, Iterator

import httpcore

from connectors.fetching.outcomes import FetchError, Outcome


def header(response: httpcore.Response, name: bytes) -> str | None:
    """Values of the header `name`, in lower case; comma-separated, or None."""
    values = [_text(value).strip() for key, value in response.headers if key.lower() == name]
    return ", ".join(values) or None


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def unpacked(chunks: Iterable[bytes], response: httpcore.Response, limit: int) -> Iterator[bytes]:
    """Unpack what is packed though nobody asked for it; no piece is larger than `limit` + 1 bytes."""
    packing = (header(response, b"content-encoding") or "identity").lower()
    if packing == "identity":
        yield from chunks
        return
    if packing not in {"gzip", "x-gzip", "deflate"}:
        raise FetchError(Outcome.UNSUPPORTED, f"packed as {packing[:40]!r}, which was not asked for")
    unzip = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        for chunk in chunks:
            yield unzip.decompress(chunk, limit + 1)
    except zlib.error as error:
        raise FetchError(Outcome.HTTP_ERROR, f"not {packing} as it says: {error}") from None
